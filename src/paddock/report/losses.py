"""Loss curves: training and validation, by tokens or pairs and by steps (the paper's figure 5, for every stage)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paddock.report.blocks import Figure, Figures, Section
from paddock.report.figures import Curve, counts_by, loss_figure
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import compact, finite


def section(run: Run) -> Section | None:
    """One drawing a stage that logged losses; None where none did."""
    figures = [figure for place, stage in enumerate(run.stages) if (figure := _figure(stage, f"loss{place}"))]
    return Section("loss", "Loss", (Figures(tuple(figures)),)) if figures else None


def _figure(stage: StageRecord, name: str) -> Figure | None:
    rows = [row for row in stage.metrics if finite(row.get("loss")) is not None]
    train, validation = (columns([row for row in rows if row.get("split") == split]) for split in ("train", "validation"))
    if not len(train.steps):
        return None
    # A validation row counts what was validated; its place is by what had been trained on.
    validation = replace(validation, counts=counts_by(train, validation.steps))
    caption = _caption(train, validation)
    title = f"Loss of {stage.name} by {train.unit}. {caption}"
    return Figure(loss_figure(name, train, validation), stage.name, caption, title)


def columns(rows: Sequence[dict[str, Any]]) -> Curve:
    """Rows of `metrics.jsonl` as a curve; a reward model's rows count pairs, all others tokens."""
    unit = "pairs" if any("pairs" in row for row in rows) else "tokens"
    steps, counts, losses = ([finite(row.get(key)) or 0.0 for row in rows] for key in ("step", unit, "loss"))
    return Curve(np.array(steps), np.array(counts), np.array(losses), unit)


def _caption(train: Curve, validation: Curve) -> str:
    steps = f"{train.steps[-1]:,.0f} steps, {compact(train.counts[-1])} {train.unit}"
    parts = [steps, f"training ends at {train.losses[-1]:.3f}"]
    if len(validation.steps):
        best = validation.losses.argmin()
        parts.append(f"validation ends at {validation.losses[-1]:.3f}")
        if best != len(validation.losses) - 1:
            parts.append(f"lowest {validation.losses[best]:.3f} at step {validation.steps[best]:,.0f}")
    return "; ".join(parts) + "."
