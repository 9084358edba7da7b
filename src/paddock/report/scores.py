"""Held-out scores with their intervals: a dot and whiskers each, under each other on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paddock.report.blocks import Folded, Prose, ScoreRow, Scores, Section
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, number, percent, sentence, words

FIRST = ("helpfulness", "safety", "violations", "reward_accuracy", "held_out_reward")  # all other metrics follow by name
TOLD_IN_TABLES = ("reward", "ppo")  # kinds of stages whose scores have sections of their own
OVERALL, SHARE = "overall", "share"


@dataclass(frozen=True, slots=True)
class Score:
    """A figure with its interval: of a metric as a whole (`group` is empty), or of one `group` of it, by skill or turn."""

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
    """Every stage's scores: first its metrics as wholes, then each by its groups; None where no stage has some.

    Those of the last stage stand open, those of earlier ones are folded.
    """
    scored = {stage.name: blocks for stage in run.stages if stage.kind not in TOLD_IN_TABLES and (blocks := _blocks(stage))}
    if not scored:
        return None
    *earlier, last = scored
    note = Prose(
        "On prompts that occur in no training data. Whiskers span the 95% confidence interval; n counts what was scored."
    )
    folded = (Folded(name, tuple(scored[name])) for name in earlier)
    return Section("scores", "Held-out scores", (note, *folded, *scored[last]))


def scores_of(stage: StageRecord) -> list[Score]:
    """The rows under `scores` in a stage's results, metrics as wholes first.

    A row is `{"metric", "group", "unit", "estimate", "lower", "upper", "n"}`; its group is `overall`, or `skill: sort`.
    """
    return sorted((_score(row) for row in stage.results.get("scores", [])), key=_order)


def _score(row: dict[str, Any]) -> Score:
    group = str(row.get("group", OVERALL))
    by, _, name = ("", "", "") if group == OVERALL else group.rpartition(": ")
    numbers = (finite(row.get(key)) for key in ("estimate", "lower", "upper", "n"))
    return Score(str(row.get("metric", "score")), by, name, str(row.get("unit", "")), *numbers)


def _order(score: Score) -> tuple[bool, int, str, str, int, str]:
    """Wholes before groups; groups that are numbers by size."""
    place = FIRST.index(score.metric) if score.metric in FIRST else len(FIRST)
    return (
        score.group != "",
        place,
        score.metric,
        score.by,
        int(score.group) if score.group.isdecimal() else -1,
        score.group,
    )


def _blocks(stage: StageRecord) -> list[Scores]:
    """A block of wholes for each unit, and one for each metric by groups."""
    found: dict[tuple[str, str], list[Score]] = {}
    for score in scores_of(stage):
        by = f" by {words(score.by)}" if score.by else ""
        title = f"{sentence(score.metric)}{by} · {stage.name}" if score.group else stage.name
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
