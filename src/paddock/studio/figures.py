"""The figures of a study while it runs: progress, agreement, drift of raters, win rates, and where raters contradict.

They are computed once for each state of the answers (`FiguresCache`), however often the lead looks.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from statistics import fmean, median, variance
from time import monotonic
from typing import Any

import numpy as np
import sqlalchemy as sa
from scipy import special

from paddock.evaluate.agreement import AgreementWarning, IntervalForm, agreement
from paddock.evaluate.comparison import Judgement, compare, outcome_of_likert
from paddock.evaluate.ratings import Ratings
from paddock.statistics import Interval, mean_interval, wilson_interval
from paddock.studio.assignment import standing_of
from paddock.studio.opening import Studio
from paddock.studio.people import Person, everybody
from paddock.studio.results import Rated, answers, by_item, last_words, state_of
from paddock.studio.study import StudySettings
from paddock.studio.tables import items, reading
from paddock.studio.tasks import VIOLATION, Task

WEIGHTS = ("identity", "linear", "quadratic")  # the paper does not say which: all three stand side by side
FEW_ITEMS = 100  # below, the interval is formed on log(1 - value), which covers better
LEAST_FOR_DRIFT = 8  # items that others rated too
QUICK, REST = 1.0, 10  # seconds that figures may always take; and how many times as long as they took they stand
SPREAD = 2  # points from the lowest to the highest rating, from which on raters contradict


class FiguresCache:
    """The figures of the newest state, computed when they are first asked for.

    Those of a large study, which take more than a second, are computed anew at most a tenth of the time: while people
    answer, the page shows what was so a moment ago.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.lock = threading.Lock()
        self.state: tuple[int, ...] = ()
        self.found: dict[str, Any] = {}
        self.not_before = -math.inf  # by the clock that only goes forward

    def get(self) -> dict[str, Any]:
        """The figures; computed anew only where an answer or a ruling has come since."""
        state = state_of(self.studio.engine)
        with self.lock:
            began = monotonic()
            if state != self.state and began >= self.not_before:
                self.found, self.state = figures(self.studio), state
                took = monotonic() - began
                self.not_before = began + REST * took if took > QUICK else began
            return self.found


def figures(studio: Studio) -> dict[str, Any]:
    """All figures, plain values, of one moment."""
    task = studio.study.kind
    with reading(studio.engine) as moment:
        everything, rulings = answers(moment, ("item", "qualification", "attention")), last_words(moment)
        wanted = wanted_of(moment)
        test_items = moment.execute(sa.select(sa.func.count()).where(items.c.kind == "qualification")).scalar_one()
        annotators = [person for person in everybody(moment) if person.role == "annotator"]
    rated = [one for one in everything if one.kind == "item"]
    found: dict[str, Any] = {
        "progress": progress(wanted, rated),
        "people": people_rows(studio.study, annotators, everything, test_items),
        "agreement": [],
        "wins": None,
        "models": [],
        "disagreements": [],
    }
    if task.choices and rated:
        if shared := [one for one in rated if not one.is_own]:
            found["agreement"] = agreement_rows(task, shared)
            found["disagreements"] = disagreements(task, shared, set(rulings))
        if task.is_pair:
            found["wins"] = [rates.as_row() for rates in compare(judgements(task, rated)).pairs]
        else:
            found["models"] = model_rows(task, rated)
    return found


def wanted_of(connection: sa.Connection) -> dict[int, int]:
    """How many answers each item is to have, of those that were not left out."""
    query = sa.select(items.c.id, items.c.wanted).where(items.c.kind == "item", items.c.wanted > 0)
    return dict(connection.execute(query).tuples().all())


def progress(wanted: Mapping[int, int], rated: Sequence[Rated]) -> dict[str, Any]:
    """How many answers there are, of how many, and how many items have all of theirs."""
    counts = {item: len(group) for item, group in by_item(rated).items()}
    return {
        "items": len(wanted),
        "items_complete": sum(counts.get(item, 0) >= number for item, number in wanted.items()),
        "answers": len(rated),
        "answers_wanted": sum(wanted.values()),
        "median_seconds": _median([_time(one) for one in rated]),
    }


def coded(task: Task, rated: Sequence[Rated], points: Sequence[int] | None = None) -> Ratings:
    """Ratings as `agreement` takes them, items x raters; the whole scale counts as categories."""
    points = list(points or task.points)
    raters = {name: place for place, name in enumerate(dict.fromkeys(one.rater for one in rated))}
    groups = by_item(rated)
    codes = np.full((len(groups), len(raters)), len(points), dtype=np.uint8)
    for row, group in enumerate(groups.values()):
        for one in group:
            codes[row, raters[one.rater]] = points.index(one.answer["rating"])
    return Ratings(codes, tuple(float(point) for point in points), declared=True)


def agreement_rows(task: Task, rated: Sequence[Rated]) -> list[dict[str, Any]]:
    """AC2 by its weights; for safety also AC1 of violation or not (paper section 4.4)."""
    ratings = coded(task, rated)
    rows = [_agreement_row(ratings, "ac2", weights, weights) for weights in WEIGHTS]
    if task.choices[0].value > task.choices[-1].value:  # safety's scales begin with the best
        cut = np.where(ratings.codes == len(ratings.categories), 2, ratings.codes < VIOLATION).astype(np.uint8)
        rows.append(_agreement_row(Ratings(cut, (0.0, 1.0), declared=True), "ac1", "identity", "violation or not"))
    return rows


def _agreement_row(ratings: Ratings, coefficient: str, weights: str, label: str) -> dict[str, Any]:
    form: IntervalForm = "log" if len(ratings.codes) < FEW_ITEMS else "t"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AgreementWarning)  # what it says is among the notes
        found = agreement(ratings, coefficient, weights, interval=form, single_ratings="ratio")
    row = {key: value for key, value in found.as_row().items() if key in ("value", "lower", "upper", "pa", "n", "notes")}
    return {"coefficient": coefficient.upper(), "label": label, "interval": form, **row}


def judgements(task: Task, rated: Sequence[Rated]) -> list[Judgement]:
    """Every answer about a pair as an outcome of the file's first model."""
    points = len(task.choices)
    return [
        Judgement(
            one.subject,
            outcome_of_likert(one.answer["rating"], points),
            one.models[0],
            one.models[1],
            conversation=one.conversation,
        )
        for one in rated
        if one.models[0] != one.models[1]
    ]


def model_rows(task: Task, rated: Sequence[Rated]) -> list[dict[str, Any]]:
    """For each model the mean rating, an item or a conversation of one's own being a trial; for safety also the share of
    violations, by majority.
    """
    rows = []
    is_safety = task.choices[0].value > task.choices[-1].value
    by_model: dict[str, dict[str, list[int]]] = {}
    for one in rated:
        by_model.setdefault(one.models[0], {}).setdefault(one.subject, []).append(one.answer["rating"])
    for model, by_subject in by_model.items():
        scores = list(by_subject.values())
        row: dict[str, Any] = {"model": model, "rating": mean_interval([fmean(some) for some in scores]).as_row()}
        if is_safety:
            bad = sum(2 * sum(score <= VIOLATION for score in some) > len(some) for some in scores)
            row["violations"] = wilson_interval(bad, len(scores)).as_row()
        rows.append(row)
    return rows


def disagreements(task: Task, rated: Sequence[Rated], ruled: set[int]) -> list[dict[str, Any]]:
    """Items whose raters contradict each other, the widest apart first: two points or more, or opposite sides of a pair."""
    middle = (len(task.choices) + 1) / 2
    rows = []
    for item, group in by_item(rated).items():
        scores = sorted(one.answer["rating"] for one in group)
        opposite = task.is_pair and scores[0] < middle < scores[-1]
        if scores[-1] - scores[0] >= SPREAD or opposite:
            rows.append(
                {
                    "item": item,
                    "name": group[0].item_name,
                    "ratings": scores,
                    "opposite": opposite,
                    "spread": scores[-1] - scores[0],
                    "ruled": item in ruled,
                }
            )
    return sorted(rows, key=lambda row: (row["ruled"], not row["opposite"], -row["spread"], row["item"]))


def people_rows(
    study: StudySettings, annotators: Sequence[Person], everything: Sequence[Rated], test_items: int
) -> list[dict[str, Any]]:
    """A row an annotator: how far they are, how they did on known answers, and how they rate beside the others."""
    real = [one for one in everything if one.kind == "item" and not one.is_own]
    deviations = deviations_of(real) if study.kind.choices else {}
    own: dict[str, list[Rated]] = {}
    for one in everything:
        own.setdefault(one.rater, []).append(one)
    return [
        {
            "id": person.id,
            "name": person.name,
            **_work_of(own.get(person.name, []), study, test_items),
            **beside_others(deviations.get(person.name, [])),
        }
        for person in annotators
    ]


def _work_of(own: Sequence[Rated], study: StudySettings, test_items: int) -> dict[str, Any]:
    """What one person has done."""
    tested, checks, real = ([one for one in own if one.kind == kind] for kind in ("qualification", "attention", "item"))
    return {
        "answered": len(real),
        "standing": standing_in_words(study, len(tested), sum(bool(one.right) for one in tested), test_items),
        "checks": len(checks),
        "checks_right": sum(bool(one.right) for one in checks),
        "median_seconds": _median([_time(one) for one in real]),
        "last": max((one.at for one in own), default=None),
    }


def standing_in_words(study: StudySettings, tested: int, right: int, test_items: int) -> str:
    """How someone stands with the test."""
    standing = standing_of(study, tested, right, test_items)
    if standing == "not needed":
        return ""
    if standing == "testing":
        return f"{tested} of {test_items} done"
    return f"{standing}, {right} of {test_items} right"


def deviations_of(rated: Sequence[Rated]) -> dict[str, list[tuple[float, bool]]]:
    """For each rater, in the order of their answers: rating minus the mean of the item's others, and whether all agree."""
    found: dict[int, list[tuple[str, float, bool]]] = {}
    for group in by_item(rated).values():
        for one in group:
            others = [other.answer["rating"] for other in group if other is not one]
            if others:
                own = one.answer["rating"]
                found[one.number] = [(one.rater, own - fmean(others), all(own == other for other in others))]
    rows: dict[str, list[tuple[float, bool]]] = {}
    for number in sorted(found):
        for rater, deviation, same in found[number]:
            rows.setdefault(rater, []).append((deviation, same))
    return rows


def beside_others(deviations: Sequence[tuple[float, bool]]) -> Mapping[str, Any]:
    """How a rater differs from the others: on average, and in the later half of their items against the earlier one."""
    values = [deviation for deviation, _ in deviations]
    half = len(values) // 2
    return {
        "shared_items": len(values),
        "same_share": fmean(same for _, same in deviations) if deviations else None,
        "bias": mean_interval(values).as_row() if values else None,
        "drift": difference_interval(values[half:], values[:half]).as_row() if len(values) >= LEAST_FOR_DRIFT else None,
    }


def difference_interval(later: Sequence[float], earlier: Sequence[float], confidence: float = 0.95) -> Interval:
    """Welch's interval of the difference of two means of two values or more each."""
    parts = [variance(values) / len(values) for values in (later, earlier)]
    difference, spread = fmean(later) - fmean(earlier), math.fsum(parts)
    if spread == 0:
        return Interval(difference, difference, difference, len(later) + len(earlier))
    df = spread**2 / math.fsum(p**2 / (len(values) - 1) for p, values in zip(parts, (later, earlier), strict=True))
    reach = float(special.stdtrit(df, (1 + confidence) / 2)) * math.sqrt(spread)
    return Interval(difference, difference - reach, difference + reach, len(later) + len(earlier))


def _time(one: Rated) -> float:
    return one.seconds if one.active_seconds is None else one.active_seconds


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
