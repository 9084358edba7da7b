"""Energy and carbon in Table 2's form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from paddock.train.energy import energy_of, processor_watts, tonnes_of_co2

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("hours", "watts", "tonnes"),
    [(184_320, 400, 31.22), (368_640, 400, 62.44), (1_038_336, 350, 153.90), (1_720_320, 400, 291.42)],
)
def test_carbon_is_that_of_table_2(hours: float, watts: float, tonnes: float) -> None:
    assert tonnes_of_co2(hours, watts) == pytest.approx(tonnes, abs=0.015)


def test_a_users_watts_are_used_and_named() -> None:
    figures = energy_of(7200.0, 4, CPU, 250.0)
    assert figures["device_hours"] == 8.0
    assert figures["kwh"] == pytest.approx(8 * 0.25 * 1.1)
    assert (figures["watts"], figures["watts_source"]) == (250.0, "setting")


def test_a_processors_watts_are_its_power_limit_by_share_of_threads(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    for package, microwatts in (("0", 60_000_000), ("1", 100_000_000)):
        folder = tmp_path / f"intel-rapl:{package}"
        folder.mkdir()
        (folder / "constraint_0_power_limit_uw").write_text(f"{microwatts}\n")
    watts, source = processor_watts(2, tmp_path)
    assert watts == pytest.approx(160 * 2 / 8)
    assert "RAPL" in source


def test_watts_that_cannot_be_read_are_assumed_and_said_to_be(tmp_path: Path) -> None:
    watts, source = processor_watts(2, tmp_path / "absent")
    assert watts == 20.0
    assert source.startswith("assumed")
