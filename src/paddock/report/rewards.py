"""Reward models: what they learnt from, how often they are right, and how far their scores can be trusted.

Tables 6 to 8 and 29 and figures 6 and 27 of the paper, of this run; the paper's own rows beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from paddock.report.blocks import Figure, Figures, Prose, Row, Section, Table
from paddock.report.drawings import Line, line_figure, reliability_figure, score_histogram
from paddock.report.run_folder import Run, StageRecord
from paddock.report.spine import place_in_run
from paddock.report.wording import UNKNOWN, compact, finite, interval_cell, number, percent
from paddock.run_dir import read_log
from paddock.text.dialog import PREFERENCE_RATINGS

OVERALL = "overall"
MATCHED = "length: matched"
RULES = (  # metric, what its column is called
    ("longer_is_better", "the longer reply"),
    ("better_model", "the better model's"),
    ("bag_of_words", "bag of words"),
)
PUBLISHED_ACCURACY = (  # Table 8: all, then by rating from significantly to negligibly better
    ("Helpfulness model on Meta Helpful", "63.2%", "80.7%", "67.5%", "60.9%", "54.7%"),
    ("Safety model on Meta Safety", "64.5%", "94.3%", "76.3%", "65.7%", "55.3%"),
)
PUBLISHED_DATA = (("Meta, both domains", "1,418,091", "3.9", "798.5", "31.4", "234.1"),)  # Table 6
DATA_KEYS = ("comparisons", "turns", "tokens_an_example", "tokens_a_prompt", "tokens_a_reply")
LEAST_POINTS = 3  # of a drawing of accuracy by data or by size


def section(run: Run) -> Section | None:
    """The reward models of the run beside each other; None where there is none."""
    stages = [stage for stage in run.stages if stage.kind == "reward" and stage.results]
    if not stages:
        return None
    note = Prose(
        "Accuracy is the share of held-out pairs whose chosen reply scores higher; equal scores count half. Below a figure "
        "stands its 95% interval, a bootstrap over prompts. Rows in italics are the paper's, on its own data."
    )
    allowed = {stage.name: _allowed(stage, run) for stage in stages}
    rated = _by_rating(stages, allowed)
    tables = (_overview(stages, allowed), *_beside_rules(stages), rated, *_by_kind(stages), _data(stages))
    figures = [figure for place, stage in enumerate(stages) for figure in _drawings(stage, f"reward{place}")]
    drawings = Figures((*figures, *_by_amount_and_size(stages)))
    return Section("rewards", "Reward models", (note, *tables, *([drawings] if drawings.figures else [])))


def score_of(results: dict[str, Any], metric: str, group: str = OVERALL) -> dict[str, Any] | None:
    """The row of `scores` of a metric and a group, or None."""
    rows = results.get("scores", [])
    return next((row for row in rows if (row.get("metric"), row.get("group", OVERALL)) == (metric, group)), None)


def _allowed(stage: StageRecord, run: Run) -> Mapping[str, float]:
    """The accuracy that the annotators' noise allows a perfect judge of the held-out pairs, overall and by rating.

    It is known where the pairs are those that one stage `preferences` of the run held out, and its annotators' noise is.
    """
    sources = stage.settings.get("validation") or [{}]
    gathered = place_in_run(str(PurePosixPath(sources[0].get("path", "")).parent))
    found = next((other.results for other in run.stages if other.name == gathered and len(sources) == 1), {})
    allowed: Mapping[str, float] = (found.get("allowed_accuracy") or {}).get(stage.settings.get("domain"), {})
    return allowed


def _allowed_cell(allowed: Mapping[str, float], group: str) -> str:
    return percent(allowed[group]) if group in allowed else UNKNOWN


def _overview(stages: Sequence[StageRecord], allowed: Mapping[str, Mapping[str, float]]) -> Table:
    columns = (
        "",
        "margin",
        "held-out pairs",
        "accuracy",
        "allowed by noise",
        "the longer reply",
        "unsafe recall",
        "calibration error",
    )
    rows = [
        Row(
            (
                stage.name,
                str(stage.settings.get("margin", UNKNOWN)),
                number(stage.results.get("held_out_pairs")),
                interval_cell(score_of(stage.results, "reward_accuracy")),
                _allowed_cell(allowed[stage.name], OVERALL),
                interval_cell(score_of(stage.results, "longer_is_better")),
                interval_cell(score_of(stage.results, "unsafe_recall")) if _judges_safety(stage) else UNKNOWN,
                number(stage.results.get("calibration", {}).get("expected_error")),
            )
        )
        for stage in stages
    ]
    caption = (
        "Allowed by noise: what a judge who knows the truth would reach on the held-out pairs, where annotators err as they "
        "are known to. The longer reply: how often it is the chosen one, the accuracy of a rule that knows nothing else. "
        "Unsafe recall: the share of unsafe replies that a safety model scores below 0 (table 29). Calibration error: the "
        "mean distance between the probability that a model gives to the reply that it prefers and how often that one is "
        "the chosen one."
    )
    return Table(columns, tuple(rows), caption)


def _beside_rules(stages: Sequence[StageRecord]) -> Iterator[Table]:
    """Each model and the rules that understand nothing, on all held-out pairs and on those of like lengths."""
    rows = []
    for stage in stages:
        for group, name in ((OVERALL, stage.name), (MATCHED, f"{stage.name}, like lengths")):
            found = [score_of(stage.results, metric, group) for metric, _ in RULES]
            if score_of(stage.results, "chance", group) and any(found):
                gains = (score_of(stage.results, f"gain_over_{metric}", group) for metric, _ in RULES)
                model, chance, ties = (
                    interval_cell(score_of(stage.results, metric, group))
                    for metric in ("reward_accuracy", "chance", "equal_lengths")
                )
                cells = (model, chance.partition("\n")[0], *map(interval_cell, found), ties, *map(interval_cell, gains))
                rows.append(Row((name, *cells)))
    if rows:
        titles = [title for _, title in RULES]
        columns = ("", "accuracy", "chance", *titles, "equal lengths", *(f"above {title}" for title in titles))
        caption = (
            "Rules that understand nothing, on the same pairs: the longer reply wins; that of the model that won more of "
            "the pairs learnt from; a logistic regression on words and word pairs. Equal lengths: where the length rule "
            "cannot choose. Above: the accuracy less the rule's; a rule is beaten where the whole interval is above 0. Like "
            "lengths: pairs whose replies differ by a tenth at most."
        )
        yield Table(columns, tuple(rows), caption)


def _judges_safety(stage: StageRecord) -> bool:
    """Whether 0 is a threshold to a model at all: nothing gives a helpfulness model's zero a meaning."""
    return stage.settings.get("domain") == "safety"


def _by_rating(stages: Sequence[StageRecord], allowed: Mapping[str, Mapping[str, float]]) -> Table:
    """Tables 7 and 8; below a model, where it is known, what the annotators' noise allows."""
    groups = (OVERALL, *(f"rating: {rating}" for rating in PREFERENCE_RATINGS))
    rows = []
    for stage in stages:
        rows.append(Row((stage.name, *_accuracies(stage, groups))))
        if bound := allowed[stage.name]:
            cells = (_allowed_cell(bound, group) for group in (OVERALL, *PREFERENCE_RATINGS))
            rows.append(Row((f"{stage.name}, allowed by noise", *cells)))
    published = [Row(cells, published=True) for cells in PUBLISHED_ACCURACY]
    caption = "Accuracy by how much better people found the chosen reply (tables 7 and 8)."
    return Table(("", "all", *PREFERENCE_RATINGS), (*rows, *published), caption)


def _by_kind(stages: Sequence[StageRecord]) -> Iterator[Table]:
    """Accuracy by domain, safety and length, where pairs differ in them."""
    found = [
        row.get("group", OVERALL)
        for stage in stages
        for row in stage.results.get("scores", [])
        if row.get("metric") == "reward_accuracy"
    ]
    groups = [group for group in dict.fromkeys(found) if group != OVERALL and not group.startswith("rating: ")]
    if groups:
        caption = (
            "Accuracy by domain, by which of the two replies is safe, and on pairs whose lengths differ by a tenth at most."
        )
        rows = tuple(Row((stage.name, *_accuracies(stage, groups))) for stage in stages)
        yield Table(("", *(group.removeprefix("safety: ") for group in groups)), rows, caption)


def _accuracies(stage: StageRecord, groups: Sequence[str]) -> Iterator[str]:
    return (interval_cell(score_of(stage.results, "reward_accuracy", group)) for group in groups)


def _data(stages: Sequence[StageRecord]) -> Table:
    """Table 6."""
    rows = [Row((stage.name, *(_statistic(stage, key) for key in DATA_KEYS))) for stage in stages]
    published = [Row(cells, published=True) for cells in PUBLISHED_DATA]
    columns = ("", "comparisons", "turns", "tokens an example", "tokens a prompt", "tokens a reply")
    return Table(columns, (*rows, *published), "What they learnt from (table 6): an example is a prompt with one reply.")


def _statistic(stage: StageRecord, key: str) -> str:
    value = finite(stage.results.get("data", {}).get(key))
    return UNKNOWN if value is None else number(round(value, 1))


def _drawings(stage: StageRecord, name: str) -> Iterator[Figure]:
    """Scores of chosen and rejected replies by rating, and reliability."""
    pairs = [row for row in read_log(stage.folder / "samples.jsonl") if finite(row.get("chosen_score")) is not None]
    if pairs:
        rated = {str(rating): [pair for pair in pairs if pair.get("rating") == rating] for rating in PREFERENCE_RATINGS}
        groups = {rating: some for rating, some in rated.items() if some} or {"all": pairs}
        panels = {title: _probabilities(some) for title, some in groups.items()}
        caption = f"Scores of {len(pairs):,} held-out pairs by rating (figure 27)."
        yield Figure(score_histogram(f"{name}-scores", panels), f"Scores · {stage.name}", caption, caption)
    if bins := stage.results.get("calibration", {}).get("bins"):
        caption = "The larger a dot, the more pairs; on the dashed line, probabilities are what they say."
        drawing = reliability_figure(f"{name}-bins", [(row["confidence"], row["accuracy"], row["pairs"]) for row in bins])
        yield Figure(drawing, f"Calibration · {stage.name}", caption, f"Accuracy of {stage.name} by probability.")


def _probabilities(pairs: Sequence[dict[str, Any]]) -> tuple[Sequence[float], Sequence[float]]:
    """The sigmoid of the chosen replies' scores, and of the rejected ones'."""
    chosen, rejected = (
        (1 / (1 + np.exp(-np.array([pair[key] for pair in pairs])))).tolist() for key in ("chosen_score", "rejected_score")
    )
    return chosen, rejected


@dataclass(frozen=True)
class _Point:
    """A reward model in figure 6: the domain and the chat model it starts from, its size, its data, and its accuracy."""

    domain: str
    model: str
    parameters: float | None
    pairs: float
    accuracy: dict[str, Any]


def _points(stages: Sequence[StageRecord]) -> Iterator[_Point]:
    for stage in stages:
        pairs = finite(stage.results.get("data", {}).get("comparisons"))
        accuracy = score_of(stage.results, "reward_accuracy")
        if pairs is not None and accuracy and None not in (accuracy["lower"], accuracy["upper"]):
            model = place_in_run(str(stage.settings.get("model", stage.name))).removesuffix("/model")
            parameters = finite(stage.results.get("parameters"))
            yield _Point(str(stage.settings.get("domain", "")), model, parameters, pairs, accuracy)


def _by_amount_and_size(stages: Sequence[StageRecord]) -> Iterator[Figure]:
    """Figure 6: accuracy by pairs learnt from and by size of the model, of each domain that has enough of either."""
    points = list(_points(stages))
    for domain in dict.fromkeys(point.domain for point in points):
        some = [point for point in points if point.domain == domain]
        by_amount = _lines(some, lambda point: point.pairs, _model_in_words)
        if by_amount:
            caption = "By the pairs learnt from, a line a model to start from (figure 6); bands are 95% intervals."
            drawing = line_figure(f"amount-{domain}", by_amount, "pairs learnt from", "accuracy", shares=True)
            title = f"Accuracy by amount of data · {domain}"
            yield Figure(drawing, title, caption, f"Accuracy of {domain} models. {caption}")
        sized = [point for point in some if point.parameters is not None]
        by_size = _lines(sized, lambda point: point.parameters or 0.0, lambda point: f"{compact(point.pairs)} pairs")
        if by_size:
            caption = "By the parameters of the model, a line an amount of data (figure 6); bands are 95% intervals."
            drawing = line_figure(f"size-{domain}", by_size, "parameters", "accuracy", shares=True)
            yield Figure(drawing, f"Accuracy by size · {domain}", caption, f"Accuracy of {domain} models. {caption}")


def _model_in_words(point: _Point) -> str:
    return point.model if point.parameters is None else f"{point.model}, {compact(point.parameters)}"


def _lines(points: Sequence[_Point], x: Callable[[_Point], float], label: Callable[[_Point], str]) -> list[Line]:
    """A line a label; none where there are too few places or only one of them. Of models at one place, the first stands."""
    lines: dict[str, dict[float, dict[str, Any]]] = defaultdict(dict)
    for point in points:
        lines[label(point)].setdefault(x(point), point.accuracy)
    if len({x(point) for point in points}) < 2 or sum(map(len, lines.values())) < LEAST_POINTS:
        return []
    return [_accuracy_line(name, dict(sorted(places.items()))) for name, places in lines.items()]


def _accuracy_line(label: str, places: dict[float, dict[str, Any]]) -> Line:
    rows = places.values()
    bounds = [(row["lower"], row["upper"]) for row in rows]
    return Line(label, list(places), [row["estimate"] for row in rows], bounds, dots=True)
