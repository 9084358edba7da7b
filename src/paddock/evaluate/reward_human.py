"""Rewards beside people: does a reply that people rate higher have a higher reward (appendix A.3.6, Figure 29)?

The paper has three annotators rate replies on seven points, takes the median, and shows the mean reward by median with one
standard deviation. Rank correlations say the same in one number: they need no scale that both sides share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from paddock.statistics import Interval

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Rated:
    """A reply with its raters' median, its reward from 0 to 1, and its prompt's name."""

    prompt: str
    likert: float
    reward: float


def by_likert(rated: Sequence[Rated]) -> list[dict[str, Any]]:
    """The mean reward of the replies of each median, with their standard deviation and number (Figure 29)."""
    groups: dict[float, list[float]] = {}
    for one in sorted(rated, key=lambda one: one.likert):
        groups.setdefault(one.likert, []).append(one.reward)
    return [
        {"likert": likert, "mean": fmean(rewards), "sd": stdev(rewards) if len(rewards) > 1 else None, "n": len(rewards)}
        for likert, rewards in groups.items()
    ]


def correlations(
    rated: Sequence[Rated], confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Spearman's rho and Kendall's tau-b of medians and rewards; intervals by a percentile bootstrap over prompts.

    NaN where either side has one value alone; samples in which that is so are left out of the interval.
    """
    likert, rewards = np.array([one.likert for one in rated]), np.array([one.reward for one in rated])
    places: dict[str, list[int]] = {}
    for place, one in enumerate(rated):
        places.setdefault(one.prompt, []).append(place)
    clusters = [np.array(some) for some in places.values()]
    generator, n = np.random.default_rng(seed), len(clusters)
    drawn = [np.concatenate([clusters[k] for k in generator.integers(0, n, n)]) for _ in range(resamples)] if n > 1 else []
    found = {}
    for name, measure in (("spearman", spearmanr), ("kendall", kendalltau)):
        samples = np.array([_correlation(measure, likert[some], rewards[some]) for some in drawn])
        known = samples[np.isfinite(samples)]
        lower, upper = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(known) else (np.nan, np.nan)
        found[name] = Interval(_correlation(measure, likert, rewards), float(lower), float(upper), n)
    return found


def _correlation(measure: Any, first: Any, second: Any) -> float:
    """NaN, and no warning, where there is no order to compare."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(measure(first, second).statistic)
