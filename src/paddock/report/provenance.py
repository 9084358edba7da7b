"""What made the figures: settings, seeds, versions, and the hashes of what was read."""

from __future__ import annotations

from paddock.report.blocks import Fact, Facts, Prose, Section
from paddock.report.run_folder import Run, StageRecord
from paddock.report.spine import place_in_run
from paddock.report.wording import value_text


def section(run: Run) -> Section | None:
    """One folded list a stage that has begun; None where none has."""
    blocks = tuple(Facts(stage.name, _facts(stage)) for stage in run.stages if stage.state != "not started")
    if not blocks:
        return None
    note = Prose("The same settings and inputs on the same machine give the same results.")
    return Section("provenance", "Settings, versions, hashes", (note, *blocks))


def _facts(stage: StageRecord) -> tuple[Fact, ...]:
    hashes = [("settings", stage.settings_hash), ("model", stage.model_hash)]
    return (
        *(Fact(name, value_text(value), code=True) for name, value in stage.settings.items()),
        *(Fact(f"version of {name}", version, code=True) for name, version in stage.versions.items()),
        *(Fact(f"hash of {place_in_run(path)}", value, code=True) for path, value in stage.inputs.items()),
        *(Fact(f"hash of the {name}", value, code=True) for name, value in hashes if value),
    )
