"""Who wins side by side: shares of wins, ties and losses with intervals and tests (paper sections 3.4.2 and A.3.7).

The paper shows two replies side by side to three annotators, who answer on seven points from "A is much better" to "B is
much better"; it does not say how three answers become one outcome. Here an outcome is what more raters said than anything
else, and a tie where nothing is: two raters who contradict each other tie. What is independent is the conversation, that is
the prompt where a conversation gives but one: everything here counts conversations, however many raters, comparisons or
turns one has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from paddock.evaluate.bradley_terry import BradleyTerry, bradley_terry
from paddock.statistics import (
    Interval,
    cluster_totals,
    clustered_bootstrap,
    permutation_test,
    sign_test,
    wilson_interval,
)

Outcome = Literal["win", "tie", "loss"]  # of the first model
OF_THE_OTHER: dict[Outcome, Outcome] = {"win": "loss", "tie": "tie", "loss": "win"}
SCORE: dict[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}
WORDS: dict[str, Outcome] = {
    **dict.fromkeys(("win", "a", "model_a", "first", "1-0"), "win"),
    **dict.fromkeys(("tie", "same", "draw", "both", "about the same"), "tie"),
    **dict.fromkeys(("loss", "lose", "b", "model_b", "second", "0-1"), "loss"),
    **dict.fromkeys(("a is much better", "a is better", "a is slightly better"), "win"),
    **dict.fromkeys(("b is much better", "b is better", "b is slightly better"), "loss"),
}
MOST_GROUPS = 20  # a column of more numbers than this is cut into fifths, as Figure 31 cuts lengths
FIFTHS = 5


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of `first` against `second` on a prompt, of one rater or of all; `groups` are its columns' values.

    `conversation` names what the prompt is a turn of; None: no other prompt is of the same.
    """

    prompt: str
    outcome: Outcome
    first: str = "A"
    second: str = "B"
    groups: tuple[tuple[str, float | str | None], ...] = ()
    conversation: str | None = None

    @property
    def cluster(self) -> str:
        """What is independent of the others: the conversation, or the prompt on its own."""
        return self.prompt if self.conversation is None else self.conversation


@dataclass(frozen=True, slots=True)
class Share:
    """A share of judgements with its interval by Wilson, conversations being the trials, and by a bootstrap over them.

    Wilson's keeps its width near 0 and 1, and where conversations have several judgements it is on the safe side; the
    bootstrap follows those, and has no width where all judgements are alike. `n` counts conversations.
    """

    wilson: Interval
    bootstrap: Interval

    def as_row(self) -> dict[str, Any]:
        """Wilson's interval, the other beside it, as JSON can hold them."""
        return {**self.wilson.as_row(), "bootstrap": self.bootstrap.as_row()}


@dataclass(frozen=True, slots=True)
class WinRates:
    """Shares of `first` against `second`.

    `without_ties` is win / (win + loss), as in Figure 2. `sign_p` and `permutation_p` are two-sided p-values that the two
    are equally good, a conversation's wins and losses against each other.
    """

    first: str
    second: str
    group: str
    win: Share
    tie: Share
    loss: Share
    without_ties: Share
    sign_p: float
    permutation_p: float
    judgements: int
    prompts: int

    def as_row(self) -> dict[str, Any]:
        """All figures as JSON can hold them."""
        return {
            "first": self.first,
            "second": self.second,
            "group": self.group,
            "win": self.win.as_row(),
            "tie": self.tie.as_row(),
            "loss": self.loss.as_row(),
            "win_without_ties": self.without_ties.as_row(),
            "sign_p": self.sign_p,
            "permutation_p": self.permutation_p,
            "judgements": self.judgements,
            "prompts": self.prompts,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every pair's shares, those by group, and for three models or more their strengths on one scale."""

    pairs: list[WinRates]
    groups: list[WinRates]
    strengths: BradleyTerry | None

    def as_result(self) -> dict[str, Any]:
        """All figures as JSON can hold them."""
        result: dict[str, Any] = {"pairs": [rates.as_row() for rates in self.pairs]}
        if self.groups:
            result["groups"] = [rates.as_row() for rates in self.groups]
        if self.strengths:
            result["strengths"] = self.strengths.as_rows()
            result["note"] = self.strengths.note
        return result


def compare(
    judgements: Sequence[Judgement],
    groups: Sequence[str] = (),
    each_rating: bool = False,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    models: Sequence[str] = (),
) -> Comparison:
    """Compare all models that met: by the majority of raters, or with every rating for itself (`each_rating`).

    `groups` are the columns by which the shares of each pair are given too. A pair is seen from the one of its two that
    comes first among `models`, or in the data.
    """
    counted = list(judgements) if each_rating else by_majority(judgements)
    pairs = _pairs(counted, models)
    rates = [win_rates(pair, "all", confidence, resamples, seed) for pair in pairs]
    by_group = [
        found for pair in pairs for column in groups for found in win_rates_by(pair, column, confidence, resamples, seed)
    ]
    strengths = None
    if len({name for judgement in counted for name in (judgement.first, judgement.second)}) > 2:
        strengths = bradley_terry(
            [judgement.first for judgement in counted],
            [judgement.second for judgement in counted],
            [SCORE[judgement.outcome] for judgement in counted],
            [judgement.cluster for judgement in counted],
            confidence,
        )
    return Comparison(rates, by_group, strengths)


def outcome_of_likert(rating: float, points: int = 7) -> Outcome:
    """The first model's outcome of a rating from 1, it is much better, to `points`, the other is; the middle is a tie.

    Raises ValueError for a rating outside.
    """
    if not 1 <= rating <= points:
        raise ValueError(f"{rating:g} lies outside 1 to {points}")
    middle = (1 + points) / 2
    return "tie" if rating == middle else "win" if rating < middle else "loss"


def outcome_of(rating: float | str, points: int = 7) -> Outcome:
    """The first model's outcome of a number on the scale of `points`, or of a word of `WORDS`. Raises ValueError."""
    if not isinstance(rating, str) or rating.strip().isdecimal():
        return outcome_of_likert(float(rating), points)
    outcome = WORDS.get(" ".join(rating.lower().split()).removeprefix("model "))
    if outcome is None:
        raise ValueError(f'"{rating}" is neither a number from 1 to {points} nor one of {", ".join(WORDS)}')
    return outcome


def majority(outcomes: Sequence[Outcome]) -> Outcome:
    """What more raters said than anything else; a tie where nothing is."""
    (best, votes), *rest = Counter(outcomes).most_common()
    return "tie" if rest and rest[0][1] == votes else best


def by_majority(judgements: Sequence[Judgement]) -> list[Judgement]:
    """One judgement of each pair of models on each prompt: its raters' majority, seen from the first rater's first model."""
    pairs: dict[tuple[str, frozenset[str]], list[Judgement]] = {}
    for judgement in judgements:
        pairs.setdefault((judgement.prompt, frozenset((judgement.first, judgement.second))), []).append(judgement)
    merged = []
    for group in pairs.values():
        head = group[0]
        outcome = majority([seen_from(head.first, judgement).outcome for judgement in group])
        merged.append(replace(head, outcome=outcome))
    return merged


def seen_from(model: str, judgement: Judgement) -> Judgement:
    """The same judgement with `model`, one of its two, for the first: sides were shown in random order."""
    if judgement.first == model:
        return judgement
    other = OF_THE_OTHER[judgement.outcome]
    return replace(judgement, outcome=other, first=judgement.second, second=judgement.first)


def win_rates(
    judgements: Sequence[Judgement], group: str = "all", confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> WinRates:
    """The first model's shares over judgements of one pair of models, all seen from one side.

    Raises ValueError for no judgement, and for judgements of several pairs.
    """
    pairs = {(judgement.first, judgement.second) for judgement in judgements}
    if len(pairs) != 1:
        raise ValueError(f"one pair of models was expected, and there are {len(pairs)}")
    first, second = pairs.pop()
    clusters = [judgement.cluster for judgement in judgements]

    def share(outcome: Outcome, among: Sequence[Judgement]) -> Share:
        hits = [float(judgement.outcome == outcome) for judgement in among]
        return share_of(hits, [judgement.cluster for judgement in among], confidence, resamples, seed)

    wins, losses = (
        cluster_totals([float(judgement.outcome == name) for judgement in judgements], clusters)[0]
        for name in ("win", "loss")
    )
    return WinRates(
        first=first,
        second=second,
        group=group,
        win=share("win", judgements),
        tie=share("tie", judgements),
        loss=share("loss", judgements),
        without_ties=share("win", [judgement for judgement in judgements if judgement.outcome != "tie"]),
        sign_p=sign_test(wins, losses),
        permutation_p=permutation_test(wins, losses, seed=seed),
        judgements=len(judgements),
        prompts=len({judgement.prompt for judgement in judgements}),
    )


def share_of(
    hits: Sequence[float], clusters: Sequence[str], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Share:
    """The share of `hits`, each 0 or 1 and one of a cluster's: a prompt's or a conversation's.

    Wilson's trials are the clusters. Where some have more hits than others they weigh more in the share, and there are fewer
    trials: as many equal clusters as give the same sum of squared weights (Kish 1965).
    """
    resampled = clustered_bootstrap(hits, clusters, confidence, resamples, seed)
    _, sizes = cluster_totals(hits, clusters)
    trials = math.floor(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0
    share = sum(hits) / len(hits) if hits else 0.0
    return Share(replace(wilson_interval(share * trials, trials, confidence), n=resampled.n), resampled)


def _pairs(judgements: Sequence[Judgement], models: Sequence[str]) -> list[list[Judgement]]:
    """The judgements of every two models that met, seen from the one that comes first among `models`, or in the data."""
    places = {name: place for place, name in enumerate(models)}
    pairs: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        for name in (judgement.first, judgement.second):
            places.setdefault(name, len(places))
        first, second = sorted((judgement.first, judgement.second), key=places.__getitem__)
        pairs.setdefault((first, second), []).append(seen_from(first, judgement))
    return list(pairs.values())


def win_rates_by(
    judgements: Sequence[Judgement], column: str, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Iterator[WinRates]:
    """`win_rates` of the groups of a column (Figures 30 and 31).

    Text, and numbers of up to 20 values, are groups as they are; more numbers are cut into fifths of the judgements, equal
    numbers staying together. Judgements without a value are the group "none".
    """
    values = [dict(judgement.groups).get(column) for judgement in judgements]
    names = _group_names(values)
    grouped: dict[str, list[Judgement]] = {name: [] for name in names.values()}
    for judgement, value in zip(judgements, values, strict=True):
        grouped[names[value]].append(judgement)
    for name, group in grouped.items():
        yield win_rates(group, f"{column}: {name}", confidence, resamples, seed)


def _group_names(values: Sequence[float | str | None]) -> dict[Hashable, str]:
    """The name of each value's group, groups in order."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in present) and len(set(present)) > MOST_GROUPS:
        numbers = np.array(sorted(present), dtype=np.float64)
        edges = np.quantile(numbers, np.arange(1, FIFTHS) / FIFTHS)
        fifths: dict[int, list[float]] = {}
        for number in sorted(set(numbers.tolist())):
            fifths.setdefault(int(np.searchsorted(edges, number)), []).append(number)
        spans = [(fifth, f"{_shown(fifth[0])} to {_shown(fifth[-1])}") for fifth in fifths.values()]
        names: dict[Hashable, str] = {number: name for fifth, name in spans for number in fifth}
    else:
        ordered = sorted(set(present), key=lambda value: (isinstance(value, str), value))
        names = {value: _shown(value) for value in ordered}
    return names | {None: "none"} if len(present) < len(values) else names


def _shown(value: float | str) -> str:
    """A group's value; of numbers all digits that tell them apart, such as those of a date, 20261129."""
    return value if isinstance(value, str) else f"{value:.15g}"
