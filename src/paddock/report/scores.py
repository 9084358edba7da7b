"""Held-out scores with their intervals: a dot and whiskers each, under each other on one scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from paddock.report.blocks import Prose, ScoreRow, Scores, Section
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, number, percent, sentence, words

FIRST = ("helpfulness", "safety", "violations")  # the order of metrics; all others follow by name
SHARE = "share"


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its interval: of a metric as a whole (`by` is empty), or of one `group` of it, by skill or turn."""

    metric: str
    by: str
    group: str
    unit: str
    estimate: float | None
    lower: float | None
    upper: float | None
    n: float | None

    @property
    def value(self) -> str:
        """The figure as text."""
        return self._text(self.estimate)

    @property
    def interval(self) -> str:
        """`67.1 to 77.2%`."""
        if self.lower is None or self.upper is None:
            return UNKNOWN
        return f"{self._text(self.lower).removesuffix('%')} to {self._text(self.upper)}"

    @property
    def count(self) -> str:
        """`n` as text."""
        return UNKNOWN if self.n is None else f"{self.n:,.0f}"

    def _text(self, value: float | None) -> str:
        if value is None:
            return UNKNOWN
        return percent(value) if self.unit == SHARE else number(value)


def section(run: Run) -> Section | None:
    """Every stage's scores: first its metrics as wholes, then each by its groups; None where no stage has some."""
    blocks = tuple(block for stage in run.stages for block in _blocks(stage))
    if not blocks:
        return None
    note = Prose(
        "On prompts that occur in no training data. Whiskers span the 95% confidence interval; n counts what was scored."
    )
    return Section("scores", "Held-out scores", (note, *blocks))


def scores_of(stage: StageRecord) -> list[Score]:
    """Every `{"estimate", "lower", "upper", "n"}` in a stage's results, metrics as wholes first.

    `helpfulness` names a metric as a whole, `helpfulness_by_skill` holds its groups. A `unit` beside the four numbers tells
    what they are; without one they are shares of 1.
    """
    return sorted(_found(stage.results), key=_order)


def _found(results: dict[str, Any]) -> Iterator[Score]:
    for name, value in results.items():
        if not isinstance(value, dict):
            continue
        if "estimate" in value:
            yield _score(name, "", "", value)
        else:
            metric, _, by = name.partition("_by_")
            yield from (
                _score(metric, by, group, row) for group, row in value.items() if isinstance(row, dict) and "estimate" in row
            )


def _score(metric: str, by: str, group: str, row: dict[str, Any]) -> Score:
    numbers = (finite(row.get(key)) for key in ("estimate", "lower", "upper", "n"))
    return Score(metric, by, group, str(row.get("unit", SHARE)), *numbers)


def _order(score: Score) -> tuple[bool, int, str, str, int, str]:
    """Wholes before groups; groups that are numbers by size."""
    place = FIRST.index(score.metric) if score.metric in FIRST else len(FIRST)
    return (score.by != "", place, score.metric, score.by, int(score.group) if score.group.isdecimal() else -1, score.group)


def _blocks(stage: StageRecord) -> list[Scores]:
    """A block of wholes for each unit, and one for each metric by groups."""
    found: dict[tuple[str, str], list[Score]] = {}
    for score in scores_of(stage):
        title = f"{sentence(score.metric)} by {words(score.by)} · {stage.name}" if score.by else stage.name
        found.setdefault((title, score.unit), []).append(score)
    return [_block(title, unit, scores) for (title, unit), scores in found.items()]


def _block(title: str, unit: str, scores: list[Score]) -> Scores:
    """Scores on a scale of 0 to 100%, or from the lowest bound to the highest."""
    known = [value for score in scores for value in (score.lower, score.estimate, score.upper) if value is not None]
    low, high = (0.0, 1.0) if unit == SHARE else (min(known, default=0.0), max(known, default=1.0))
    middle = (low + high) / 2
    scale = ("0%", "50%", "100%") if unit == SHARE else (number(low), number(middle), number(high))
    return Scores(title, tuple(_row(score, low, high) for score in scores), scale)


def _row(score: Score, low: float, high: float) -> ScoreRow:
    def place(value: float | None) -> float | None:
        """In hundredths of the scale; a t interval may reach past a share's ends: its text tells, its whisker stops."""
        return None if value is None else round(min(max(100 * (value - low) / ((high - low) or 1), 0), 100), 2)

    return ScoreRow(
        group=sentence(score.group or score.metric),
        estimate=score.value,
        interval=score.interval,
        n=score.count,
        place=place(score.estimate),
        lower=place(score.lower),
        upper=place(score.upper),
    )
