"""Held-out scores with their intervals: a dot and whiskers a group, under each other on one scale."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from paddock.report.blocks import Prose, ScoreRow, Scores, Section
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, number, percent, sentence

OVERALL = "overall"


def section(run: Run) -> Section | None:
    """Every stage's scores: `{"metric", "group", "estimate", "lower", "upper", "n", "unit"}`; None where there are none."""
    blocks = tuple(block for stage in run.stages for block in _blocks(stage))
    if not blocks:
        return None
    note = Prose("On prompts that occur in no training data. Whiskers span the 95% confidence interval; n counts prompts.")
    return Section("scores", "Held-out scores", (note, *blocks))


def scores_of(stage: StageRecord) -> list[dict[str, Any]]:
    """The rows under `scores` in a stage's results."""
    rows = stage.results.get("scores", [])
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def score_text(value: float | None, unit: str) -> str:
    """A share as per cent, any other number as it is."""
    if value is None:
        return UNKNOWN
    return percent(value) if unit == "share" else number(value)


def interval_text(row: dict[str, Any]) -> str:
    """`67.1 to 77.2%`."""
    lower, upper = finite(row.get("lower")), finite(row.get("upper"))
    if lower is None or upper is None:
        return UNKNOWN
    unit = str(row.get("unit", ""))
    return f"{score_text(lower, unit).removesuffix('%')} to {score_text(upper, unit)}"


def _blocks(stage: StageRecord) -> list[Scores]:
    rows = sorted(scores_of(stage), key=lambda row: str(row.get("metric")))
    return [_scores(stage, metric, list(group)) for metric, group in groupby(rows, key=lambda row: str(row.get("metric")))]


def _scores(stage: StageRecord, metric: str, rows: list[dict[str, Any]]) -> Scores:
    """One metric's groups, the overall one first, on a scale of 0 to 100% or from the lowest bound to the highest."""
    rows = sorted(rows, key=lambda row: row.get("group") != OVERALL)
    unit = str(rows[0].get("unit", ""))
    known = [value for row in rows for key in ("lower", "estimate", "upper") if (value := finite(row.get(key))) is not None]
    low, high = (0.0, 1.0) if unit == "share" else (min(known, default=0.0), max(known, default=1.0))
    names = tuple(score_text(value, unit) for value in (low, (low + high) / 2, high))
    ends = tuple(name.removesuffix(".0%") + "%" if unit == "share" else name for name in names)
    return Scores(
        f"{sentence(metric)} · {stage.name}", tuple(_row(row, unit, low, high) for row in rows), (ends[0], ends[1], ends[2])
    )


def _row(row: dict[str, Any], unit: str, low: float, high: float) -> ScoreRow:
    def place(key: str) -> float | None:
        value = finite(row.get(key))
        return None if value is None else round(100 * (value - low) / ((high - low) or 1), 2)

    group, n = str(row.get("group", OVERALL)), finite(row.get("n"))
    return ScoreRow(
        group=sentence(group),
        estimate=score_text(finite(row.get("estimate")), unit),
        interval=interval_text(row),
        n=UNKNOWN if n is None else f"{n:,.0f}",
        place=place("estimate"),
        lower=place("lower"),
        upper=place("upper"),
        overall=group == OVERALL,
    )
