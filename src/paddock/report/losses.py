"""Loss curves: training and validation, by tokens and by steps (the paper's figure 5, for every stage that trains)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paddock.report.blocks import Figure, Figures, Section
from paddock.report.figures import Curve, loss_figure, tokens_by
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
    # A validation row counts the tokens that were validated; its place is by those that had been trained on.
    validation = replace(validation, tokens=tokens_by(train, validation.steps))
    caption = _caption(train, validation)
    return Figure(loss_figure(name, train, validation), stage.name, caption, f"Loss of {stage.name} by tokens. {caption}")


def columns(rows: Sequence[dict[str, Any]]) -> Curve:
    """Rows of `metrics.jsonl` as a curve."""
    steps, tokens, losses = ([finite(row.get(key)) or 0.0 for row in rows] for key in ("step", "tokens", "loss"))
    return Curve(np.array(steps), np.array(tokens), np.array(losses))


def _caption(train: Curve, validation: Curve) -> str:
    steps = f"{train.steps[-1]:,.0f} steps, {compact(train.tokens[-1])} tokens"
    parts = [steps, f"training ends at {train.losses[-1]:.3f}"]
    if len(validation.steps):
        best = validation.losses.argmin()
        parts.append(f"validation ends at {validation.losses[-1]:.3f}")
        if best != len(validation.losses) - 1:
            parts.append(f"lowest {validation.losses[best]:.3f} at step {validation.steps[best]:,.0f}")
    return "; ".join(parts) + "."
