"""What rules that understand nothing reach on the pairs that a reward model is judged by.

Real preferences have shortcuts: the longer reply tends to win, and so does the better model's, whatever they say. A reward
model's accuracy tells of more than these only as far as it is above theirs. Each rule is a margin a pair, positive where it
would choose the chosen reply:

    chance             none at all: half of the pairs
    longer_is_better   the difference of the replies' tokens
    better_model       the difference of their authors' shares of won pairs, among the pairs learnt from
    bag_of_words       a logistic regression on the difference of their words and word pairs, fit on the pairs learnt from
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddock.evaluate.reward_accuracy import Pairs, group_rows, in_order
from paddock.text.dialog import Preference

RULES = ("longer_is_better", "better_model", "bag_of_words")  # those that choose; chance does not

LEARNT_PAIRS = 20_000  # of which words are learnt at most: more of them cost time and change little
PAIRS_AT_A_TIME = 2_000  # whose words are counted at once
REPLY_CHARACTERS = 4_000  # of a reply are read at most
HASHED_WORDS = 2**18
REGULARISATION = 0.01  # scikit-learn's C: the inverse strength of the squared weights' penalty
UNKNOWN_MODEL = 0.5  # the share of won pairs of a model that nothing is known of


def baseline_rows(pairs: Pairs, rules: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Rows of `scores` for each rule's margins on `pairs`, in the groups of the model's own accuracy.

    Beside the accuracies, with `gain_over_...`, the model's accuracy less the rule's, both on the same pairs: the interval
    of a difference of pairs, so a rule is beaten where the lower bound is above 0. `equal_lengths` is the share of pairs
    whose replies have as many tokens, between which the length rule cannot choose.
    """
    found = in_order([pair.margin for pair in pairs])
    lengths = [float(pair.chosen_tokens - pair.rejected_tokens) for pair in pairs]
    rows: list[dict[str, Any]] = []
    for name, margins in {"chance": [0.0] * len(pairs), "longer_is_better": lengths, **rules}.items():
        reached = in_order(margins)
        rows += group_rows(name, pairs, reached)
        if name != "chance":
            gains = [model - rule for model, rule in zip(found, reached, strict=True)]
            rows += group_rows(f"gain_over_{name}", pairs, gains)
    return rows + list(group_rows("equal_lengths", pairs, [float(length == 0) for length in lengths]))


def fit_rules(learnt: Iterable[Preference], held_out: Sequence[Preference]) -> dict[str, list[float]]:
    """The margins of `better_model` and `bag_of_words` on `held_out`, each (N,), learnt from `learnt` in one pass.

    Where nothing names the authors there is no `better_model`; from fewer than two pairs no words are learnt.
    """
    record = Record()
    some = heapq.nsmallest(LEARNT_PAIRS, record.kept(learnt), key=_place)
    rules = {}
    if record.fought:
        rules["better_model"] = record.margins(held_out)
    if len(some) > 1:
        rules["bag_of_words"] = word_margins(some, held_out)
    return rules


class Record:
    """How many pairs each model took part in, and how many it won."""

    def __init__(self) -> None:
        self.fought, self.won = Counter[str](), Counter[str]()

    def kept(self, pairs: Iterable[Preference]) -> Iterator[Preference]:
        """Hand `pairs` on, and keep the record of those that two models fought."""
        for pair in pairs:
            if pair.chosen_model and pair.rejected_model and pair.chosen_model != pair.rejected_model:
                self.fought.update((pair.chosen_model, pair.rejected_model))
                self.won[pair.chosen_model] += 1
            yield pair

    def margins(self, pairs: Iterable[Preference]) -> list[float]:
        """The chosen reply's author's share of won pairs, less the rejected one's; 0 where one has no name."""
        return [
            self._share(pair.chosen_model) - self._share(pair.rejected_model)
            if pair.chosen_model and pair.rejected_model
            else 0.0
            for pair in pairs
        ]

    def _share(self, model: str) -> float:
        return self.won[model] / self.fought[model] if self.fought[model] else UNKNOWN_MODEL


def word_margins(learnt: Sequence[Preference], held_out: Iterable[Preference]) -> list[float]:
    """Fit the words' weights on `learnt`, two pairs or more, and return the margin that they give each of `held_out`."""
    from sklearn.linear_model import LogisticRegression

    differences = _differences(learnt)
    # There is no intercept, so a pair turned round is the same pair: every other one is, to give both classes.
    sides = np.where(np.arange(len(learnt)) % 2, 1.0, -1.0)
    model = LogisticRegression(C=REGULARISATION, fit_intercept=False, max_iter=200)
    model.fit(differences.multiply(sides[:, None]).tocsr(), sides)
    weights: NDArray[np.float64] = model.coef_[0]
    return [float(margin) for chunk in _chunks(held_out) for margin in _differences(chunk) @ weights]


def _differences(pairs: Iterable[Preference]) -> Any:
    """(N, HASHED_WORDS) sparse: log(1 + count) of each word and pair of words, of the chosen reply less the rejected one."""
    from scipy import sparse
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=HASHED_WORDS, ngram_range=(1, 2), alternate_sign=False, norm=None)
    parts = []
    for chunk in _chunks(pairs):
        chosen, rejected = (
            words.transform([reply[:REPLY_CHARACTERS] for reply in replies]).log1p()
            for replies in ([pair.chosen for pair in chunk], [pair.rejected for pair in chunk])
        )
        parts.append(chosen - rejected)
    return sparse.vstack(parts, format="csr")


def _chunks(pairs: Iterable[Preference]) -> Iterator[list[Preference]]:
    stream = iter(pairs)
    while chunk := list(islice(stream, PAIRS_AT_A_TIME)):
        yield chunk


def _place(pair: Preference) -> bytes:
    """A hash by which a share of all pairs is picked, the same in every run."""
    text = "\0".join([*(message.content for message in pair.prompt), pair.chosen, pair.rejected])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
