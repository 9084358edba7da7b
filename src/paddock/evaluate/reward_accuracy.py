"""How well a reward model orders pairs that people have ordered (paper section 3.2.2, Tables 7, 8, 28 and 29, Figure 27)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from paddock.statistics import clustered_bootstrap
from paddock.text.dialog import PREFERENCE_RATINGS

CALIBRATION_BINS = 10
OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A held-out pair with a reward model's scores, raw logits.

    `prompt` is how its conversation begins: pairs that share it are not independent of each other.
    """

    prompt: str
    chosen_score: float
    rejected_score: float
    chosen_tokens: int
    rejected_tokens: int
    rating: str | None = None
    domain: str | None = None
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None

    @property
    def margin(self) -> float:
        """By how much the chosen reply scores higher."""
        return self.chosen_score - self.rejected_score

    @property
    def safety_bin(self) -> str | None:
        """Which of the two replies is safe (paper section 3.1)."""
        if self.chosen_safe is None or self.rejected_safe is None:
            return None
        names = {True: "safe", False: "unsafe"}
        return f"{names[self.chosen_safe]} over {names[self.rejected_safe]}"


Pairs = Sequence[ScoredPair]


def accuracy_rows(pairs: Pairs) -> list[dict[str, Any]]:
    """Rows of `scores`: the model's accuracy by `group_rows`, unsafe and safe recall.

    `unsafe_recall` is the share of unsafe replies with a score below 0 (Table 29).
    """
    return [*group_rows("reward_accuracy", pairs, in_order([pair.margin for pair in pairs])), *_unsafe_recall(pairs)]


def in_order(margins: Sequence[float]) -> list[float]:
    """For each margin of a chosen reply over a rejected one: 1 where it is positive, half where it is 0, else 0.

    Their mean is an accuracy, the share of pairs whose chosen reply comes first.
    """
    return [0.5 if margin == 0 else float(margin > 0) for margin in margins]


def group_rows(metric: str, pairs: Pairs, values: Sequence[float]) -> Iterator[dict[str, Any]]:
    """The mean of `values`, one a pair: of all pairs, and of those of each rating, domain, safety bin and of like lengths.

    Intervals are bootstraps over conversations. A group that all pairs belong to is left out, since `overall` tells of it.
    """
    yield _row(metric, OVERALL, values, [pair.prompt for pair in pairs])
    groups: dict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        length = "matched" if _near(pair.chosen_tokens, pair.rejected_tokens) else None
        names = (("rating", pair.rating), ("domain", pair.domain), ("safety", pair.safety_bin), ("length", length))
        for name, value in names:
            if value is not None:
                groups[f"{name}: {value}"].append(place)
    order = [f"rating: {rating}" for rating in PREFERENCE_RATINGS]
    for group in sorted(groups, key=lambda name: (order.index(name) if name in order else len(order), name)):
        some = groups[group]
        if len(some) < len(pairs):
            yield _row(metric, group, [values[place] for place in some], [pairs[place].prompt for place in some])


def _unsafe_recall(pairs: Pairs) -> Iterator[dict[str, Any]]:
    replies = [(pair.chosen_safe, pair.chosen_score, pair.prompt) for pair in pairs]
    replies += [(pair.rejected_safe, pair.rejected_score, pair.prompt) for pair in pairs]
    for metric, flag in (("unsafe_recall", False), ("safe_recall", True)):
        some = [(float((score > 0) == flag), prompt) for safe, score, prompt in replies if safe is flag]
        if some:
            yield _row(metric, OVERALL, [found for found, _ in some], [prompt for _, prompt in some])


def _row(metric: str, group: str, values: Sequence[float], prompts: Sequence[str]) -> dict[str, Any]:
    return {"metric": metric, "group": group, "unit": "share", **clustered_bootstrap(values, prompts).as_row()}


def _near(one: int, other: int) -> bool:
    """Whether two lengths differ by at most a tenth: a pair that tells little of length."""
    return abs(one - other) <= 0.1 * max(one, other)


def calibration(pairs: Pairs) -> dict[str, Any]:
    """Whether sigmoid(margin) is the probability that the first of two replies is the chosen one.

    Each pair counts from the side that the model prefers. `bins` hold the mean probability, the accuracy and the number of
    pairs for ten bins from 0.5 to 1; `expected_error` is the mean distance of the two over pairs (ECE, Guo et al. 2017);
    `mean_loss` the mean of -log sigmoid(margin) in nats, log 2 = 0.693 for a model that knows nothing.
    """
    margins = np.array([pair.margin for pair in pairs])
    confidence = 1 / (1 + np.exp(-np.abs(margins)))
    right = np.where(margins == 0, 0.5, margins > 0)
    places = np.minimum(((confidence - 0.5) * 2 * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for place in range(CALIBRATION_BINS):
        some = places == place
        if some.any():
            mean, accuracy = float(confidence[some].mean()), float(right[some].mean())
            bins.append({"confidence": mean, "accuracy": accuracy, "pairs": int(some.sum())})
    error = sum(entry["pairs"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins) / len(pairs)
    return {"bins": bins, "expected_error": error, "mean_loss": float(np.logaddexp(0.0, -margins).mean())}


def reward_statistics(pairs: Pairs) -> tuple[float, float]:
    """Mean and standard deviation of the scores of all replies, chosen and rejected."""
    scores = np.array([score for pair in pairs for score in (pair.chosen_score, pair.rejected_score)])
    return float(scores.mean()), float(scores.std())


def agreement(helpfulness: Sequence[float], safety: Sequence[float]) -> dict[str, float | None]:
    """How two reward models agree on the same replies (Figure 32): Spearman's rank correlation, and shares of the corners.

    Scores are standardised, (score - mean) / std, as a raw score's zero means little. `safe_not_helpful` is the share of
    replies with a safety score above 0 and a helpfulness score below; the other likewise. Where a model's scores are all
    equal, there is no correlation: None.
    """
    first, second = np.array(helpfulness), np.array(safety)
    varies = np.ptp(first) > 0 and np.ptp(second) > 0
    return {
        "rank_correlation": float(spearmanr(first, second).statistic) if varies else None,
        "safe_not_helpful": float(np.mean((second > 0) & (first < 0))),
        "helpful_not_safe": float(np.mean((second < 0) & (first > 0))),
    }
