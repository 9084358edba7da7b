"""Energy and carbon in the form of the paper's table 2, with its rows beside this run's."""

from __future__ import annotations

from typing import Any

from paddock.report.blocks import Prose, Row, Section, Table
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, mass, number, scientific

# Table 2: model, device hours, watts a device, tonnes of CO2 equivalent. The watts of the total are not given.
PUBLISHED = (
    ("Llama 2 7B", "184,320", "400", "31.22"),
    ("Llama 2 13B", "368,640", "400", "62.44"),
    ("Llama 2 34B", "1,038,336", "350", "153.90"),
    ("Llama 2 70B", "1,720,320", "400", "291.42"),
    ("Llama 2, all four", "3,311,616", UNKNOWN, "539.00"),
)
GRAMS_A_TONNE = 1e6


def section(run: Run) -> Section | None:
    """This run's stages, their sum, and the published rows; None where no stage told its energy."""
    measured = [(stage, energy) for stage in run.stages if (energy := energy_of(stage))]
    if not measured:
        return None
    rows = tuple(_row(stage.name, energy) for stage, energy in measured)
    hours, tonnes = (sum(finite(energy.get(key)) or 0.0 for _, energy in measured) for key in ("device_hours", "tco2eq"))
    total = Row(("This run", number(round(hours, 4)), "", scientific(tonnes, 3)), total=True)
    published = tuple(Row(cells, published=True) for cells in PUBLISHED)
    table = Table(("", "Device hours", "Watts", "tCO₂eq"), (*rows, total, *published), caption=_method(measured))
    lead = Prose(
        f"This run: {mass(tonnes * GRAMS_A_TONNE)} of CO₂ equivalent. Rows in italics are the paper's table 2, as published."
    )
    return Section("carbon", "Energy and carbon", (lead, table))


def energy_of(stage: StageRecord) -> dict[str, Any]:
    """The energy that a stage told in its results, or the sum of what its parts told; or nothing."""
    told = [
        energy for results in (stage.results, *(part.results for part in stage.parts)) if (energy := results.get("energy"))
    ]
    if not told:
        return {}
    return {**told[0], **{key: sum(finite(energy.get(key)) or 0.0 for energy in told) for key in ("device_hours", "tco2eq")}}


def _row(name: str, energy: dict[str, Any]) -> Row:
    hours, watts, tonnes = (finite(energy.get(key)) for key in ("device_hours", "watts", "tco2eq"))
    return Row(
        (
            name,
            UNKNOWN if hours is None else number(round(hours, 4)),
            UNKNOWN if watts is None else number(watts),
            UNKNOWN if tonnes is None else scientific(tonnes, 3),
        )
    )


def _method(measured: list[tuple[StageRecord, dict[str, Any]]]) -> str:
    """How the figures came about: devices, where the watts come from, the grid."""
    texts = []
    for _, energy in measured:
        device, source, grid, effectiveness = (
            energy.get(key, UNKNOWN) for key in ("device", "watts_source", "grid_kg_per_kwh", "power_usage_effectiveness")
        )
        texts.append(f"{device}, watts: {source}, {grid} kg CO₂eq a kWh, power usage effectiveness {effectiveness}")
    return "; ".join(dict.fromkeys(texts)) + ". As in the paper, interconnect and cooling are left out."
