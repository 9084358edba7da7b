"""The energy and carbon of a run in the form of the paper's Table 2: device hours, watts a device, tonnes of CO2.

Table 2 multiplies hours by the peak power capacity of a device, adjusted for the power usage effectiveness (PUE) of the data
centre, and leaves out interconnect and cooling. Its rows are hours x W / 1e6 x 0.4235: a grid of 0.385 kg CO2 a kWh, a PUE
of 1.1.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import torch

GRID_KG_PER_KWH = 0.385
POWER_USAGE_EFFECTIVENESS = 1.1
ASSUMED_WATTS_PER_THREAD = 10.0  # a server processor's 200-400 W over its 32-64 cores, and a laptop's 45 W over 4-8
ASSUMED_WATTS_PER_GPU = 400.0  # Table 2's A100
POWERCAP = Path("/sys/class/powercap")


def energy_of(seconds: float, devices: int, device: torch.device, watts: float | None) -> dict[str, Any]:
    """Table 2's figures for `devices` devices busy for `seconds`: a dictionary for `results.json`.

    `watts` is the user's figure for one device; None: its power limit where readable, or else an assumption. `watts_source`
    says which.
    """
    source = "setting"
    if watts is None:
        watts, source = gpu_watts(device) if device.type == "cuda" else processor_watts(torch.get_num_threads())
    device_hours = seconds * devices / 3600
    kwh = device_hours * watts / 1000 * POWER_USAGE_EFFECTIVENESS
    return {
        "device": device_name(device),
        "devices": devices,
        "device_hours": device_hours,
        "watts": watts,
        "watts_source": source,
        "kwh": kwh,
        "tco2eq": tonnes_of_co2(device_hours, watts),
        "grid_kg_per_kwh": GRID_KG_PER_KWH,
        "power_usage_effectiveness": POWER_USAGE_EFFECTIVENESS,
    }


def tonnes_of_co2(device_hours: float, watts: float) -> float:
    """Tonnes of CO2 equivalent (Table 2)."""
    return device_hours * watts / 1e6 * GRID_KG_PER_KWH * POWER_USAGE_EFFECTIVENESS


def device_name(device: torch.device) -> str:
    """What one device is, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"processor ({torch.get_num_threads()} threads)"


def gpu_watts(device: torch.device) -> tuple[float, str]:
    """The power limit of a GPU in watts, and where the figure comes from."""
    query = ["nvidia-smi", f"--id={device.index or 0}", "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        return float(
            subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout
        ), "power limit (nvidia-smi)"
    except (OSError, subprocess.SubprocessError, ValueError):
        return ASSUMED_WATTS_PER_GPU, "assumed: Table 2's 400 W a GPU"


def processor_watts(threads: int, powercap: Path = POWERCAP) -> tuple[float, str]:
    """The power of the threads that a run uses, in watts, and where the figure comes from.

    RAPL's long-term power limit of all packages, shared out over the machine's threads, where the system shows it.
    """
    try:
        limits = [int(path.read_text()) for path in powercap.glob("intel-rapl:[0-9]/constraint_0_power_limit_uw")]
    except (OSError, ValueError):
        limits = []
    if sum(limits) > 0:
        return sum(limits) / 1e6 * threads / (os.cpu_count() or threads), "power limit (RAPL), by share of threads"
    return ASSUMED_WATTS_PER_THREAD * threads, f"assumed: {ASSUMED_WATTS_PER_THREAD:g} W a thread"
