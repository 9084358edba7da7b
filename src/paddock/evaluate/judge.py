"""Contests between models' replies, as a judge sees them, and what its verdicts say: of the models, and of the judge.

Each contest shows two replies to one prompt in one order. In both orders each pair of replies makes two contests, and what a
judge says for the place and not for the reply cancels out: `comparison` takes two verdicts that contradict each other for a
tie, and where one is missing the other counts for nobody. In random order each pair makes one contest, whose order the seed
draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from random import Random
from typing import Any, Literal

from paddock.evaluate.comparison import Judgement, Outcome, share_of
from paddock.evaluate.rubric import Verdict
from paddock.text.dialog import Dialog

Order = Literal["both", "random", "given"]
Groups = tuple[tuple[str, float | str | None], ...]

# Of the table of verdicts, beside the items' own.
COLUMNS = ("item", "conversation", "model_a", "model_b", "rater", "rating", "problem")
OTHER_ORDER = "no verdict in the other order"
EQUAL_REPLIES = "equal replies"  # in a judge's place, of a tie about which nobody was asked
OUTCOMES: dict[Verdict, Outcome] = {"A": "win", "B": "loss", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt, its name, and the columns by which figures are given.

    `conversation` names what it is a turn of, and so is counted as one with; None: it stands alone.
    """

    name: str
    prompt: Dialog
    groups: Groups = ()
    conversation: str | None = None

    def messages(self) -> list[dict[str, str]]:
        """The prompt as a row holds it."""
        return [asdict(message) for message in self.prompt.messages]


@dataclass(frozen=True, slots=True)
class Contest:
    """Two models' replies to an item, `first` shown as A."""

    item: Item
    first: str
    second: str

    @property
    def pair(self) -> tuple[str, frozenset[str]]:
        """What the contests of both orders have in common."""
        return self.item.name, frozenset((self.first, self.second))


@dataclass(frozen=True, slots=True)
class Judged:
    """A contest with its verdict, or with the problem for which there is none; `judge` names who gave it."""

    contest: Contest
    judge: str
    verdict: Verdict | None
    problem: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of a table that `paddock compare` reads; without a verdict its rating is empty."""
        rating = None if self.verdict is None else OUTCOMES[self.verdict]
        contest = self.contest
        item = contest.item
        conversation = {} if item.conversation is None else {"conversation": item.conversation}
        row = {"item": item.name, **conversation, "model_a": contest.first, "model_b": contest.second, "rater": self.judge}
        problem = {} if self.problem is None else {"problem": self.problem}
        return {**row, "rating": rating, **dict(item.groups), **problem}


def pairs_of(names: Sequence[str], baseline: str | None = None) -> list[tuple[str, str]]:
    """Every two of the names, or each other one with `baseline`."""
    return list(combinations(names, 2)) if baseline is None else [(name, baseline) for name in names if name != baseline]


def contests(items: Sequence[Item], pairs: Sequence[tuple[str, str]], order: Order, seed: int) -> Iterator[Contest]:
    """The contests of each pair of models on each item: both orders, one that is drawn, or the given one.

    A drawn order depends on the seed, the item and the pair alone.
    """
    for first, second in pairs:
        for item in items:
            orders = [(first, second), (second, first)]
            if order == "random":
                orders = [Random(f"order {seed} {item.name} {first} {second}").choice(orders)]
            for a, b in orders[:1] if order == "given" else orders:
                yield Contest(item, a, b)


def both_or_neither(judged: Sequence[Judged]) -> list[Judged]:
    """The same contests; one whose other order has no verdict has none either, with that for its problem.

    A verdict in one order alone holds what the judge gives to the place. MT-bench leaves such pairs out too (FastChat's
    `show_result.py`).
    """
    broken_pairs = {one.contest.pair for one in judged if one.verdict is None}
    return [
        replace(one, verdict=None, problem=OTHER_ORDER)
        if one.verdict is not None and one.contest.pair in broken_pairs
        else one
        for one in judged
    ]


def judgements(judged: Sequence[Judged]) -> list[Judgement]:
    """The verdicts as `comparison` counts them; contests without one are left out."""
    return [
        Judgement(
            one.contest.item.name,
            OUTCOMES[one.verdict],
            one.contest.first,
            one.contest.second,
            one.contest.item.groups,
            one.contest.item.conversation,
        )
        for one in judged
        if one.verdict is not None
    ]


def broken(judged: Sequence[Judged]) -> dict[str, int]:
    """How many contests have no verdict, by their problem, the most frequent first."""
    return dict(Counter(one.problem for one in judged if one.problem is not None).most_common())


def position_bias(judged: Sequence[Judged], confidence: float = 0.95, seed: int = 0) -> Mapping[str, Any]:
    """What the judge gives to the place in which a reply stands, in contests that it was asked about.

    `first_place_wins` is the share of the verdicts other than ties that went to the reply shown first: one half for a judge
    who does not look at places, where the order is both or drawn. `orders_agree`, of pairs with a verdict in both orders, is
    the share whose two verdicts name the same model, or both a tie.
    """
    decided = [one for one in judged if one.verdict in ("A", "B")]
    first = share_of(
        [float(one.verdict == "A") for one in decided], [_cluster(one) for one in decided], confidence, seed=seed
    )
    by_pair: dict[tuple[str, frozenset[str]], list[Judged]] = {}
    for one in judged:
        if one.verdict is not None and one.judge != EQUAL_REPLIES:
            by_pair.setdefault(one.contest.pair, []).append(one)
    twice = [(_named(some[0]) == _named(some[1]), _cluster(some[0])) for some in by_pair.values() if len(some) == 2]
    agree = share_of([float(same) for same, _ in twice], [cluster for _, cluster in twice], confidence, seed=seed)
    return {"first_place_wins": first.as_row(), "orders_agree": agree.as_row() if twice else None}


def _cluster(one: Judged) -> str:
    item = one.contest.item
    return item.name if item.conversation is None else item.conversation


def _named(one: Judged) -> str | None:
    """The model that a verdict names; None for a tie."""
    return {"A": one.contest.first, "B": one.contest.second}.get(one.verdict or "")
