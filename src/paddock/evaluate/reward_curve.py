"""How far versions have come on both axes, under the rewards that they learnt from and under neutral ones (Figure 11).

A version's place is its win rate against one opponent: the share of prompts on which its reply has the higher reward,
equal ones counted half. Rewards that a policy learns from cease to measure it (Goodhart's law): reward models trained on
other data stand beside them. Where the first say that a version gained and the others that it lost, the two diverge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from paddock.statistics import grade_interval, mean_interval, permutation_test

SIGNIFICANT = 0.05  # p below which a fall under neutral rewards is one
OWN, NEUTRAL = "own", "neutral"

Wins = Sequence[float | None]
"""1, 1/2 or 0 on each prompt, in the prompts' order; None where a reply has no score."""


def win_of(score: float | None, opponent: float | None) -> float | None:
    """What a reply's score is worth against the opponent's."""
    if score is None or opponent is None:
        return None
    return 1.0 if score > opponent else 0.5 if score == opponent else 0.0


def standing(wins: Wins) -> dict[str, Any]:
    """The win rate with its interval (Wilson's), and how many prompts have no score."""
    known = [win for win in wins if win is not None]
    return {"win_rate": grade_interval(known).as_row(), "unscored": len(wins) - len(known)}


def divergence(own: Mapping[str, Wins], neutral: Mapping[str, Wins]) -> list[dict[str, Any]]:
    """For each version after the first, on the prompts that both score: what it gained on the one before.

    `gap` is the mean difference of a version's wins under the two. A version `diverges` where it gained under its own
    rewards and fell under neutral ones with a permutation p below 0.05.
    """
    return [_between(before, version, own, neutral) for before, version in pairwise(own)]


def _between(before: str, version: str, own: Mapping[str, Wins], neutral: Mapping[str, Wins]) -> dict[str, Any]:
    columns = zip(own[before], own[version], neutral[before], neutral[version], strict=True)
    known = np.array([row for row in columns if None not in row], dtype=np.float64).reshape(-1, 4)
    own_change, neutral_change = known[:, 1] - known[:, 0], known[:, 3] - known[:, 2]
    p = permutation_test(known[:, 3], known[:, 2])
    return {
        "version": version,
        "before": before,
        "own_change": mean_interval(own_change).as_row(),
        "neutral_change": mean_interval(neutral_change).as_row(),
        "neutral_p": p,
        "gap": mean_interval(known[:, 1] - known[:, 3]).as_row(),
        "diverges": bool(own_change.sum() > 0 > neutral_change.sum() and p < SIGNIFICANT),
    }
