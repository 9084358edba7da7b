"""What known raters' noise implies for a study: agreement and shares that many repetitions of it would have on average.

Each rater's answer to an item is an independent draw from known probabilities. Nothing here is taken from
`paddock.evaluate`: it is what that is checked against.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def implied_ac2(chances: Floats, weights: str) -> float:
    """Gwet's AC2 from probabilities (items, raters, points), for `weights` identity, linear or quadratic.

    Observed agreement is the mean over items and pairs of raters of the weight that two answers are expected to have;
    chance agreement is that of the points' expected shares. Both are limits in the number of items, so that a study of few
    items differs by order 1/items even on average.
    """
    raters, points = chances.shape[1:]
    distance = np.abs(np.subtract.outer(np.arange(points), np.arange(points))) / (points - 1)
    matrix = {"identity": (distance == 0).astype(float), "linear": 1 - distance, "quadratic": 1 - distance**2}[weights]
    pairs = [(g, h) for g in range(raters) for h in range(g)]
    observed = np.mean([np.einsum("ik,kl,il->i", chances[:, g], matrix, chances[:, h]).mean() for g, h in pairs])
    shares = chances.mean(axis=(0, 1))
    chance = matrix.sum() / (points * (points - 1)) * float(shares @ (1 - shares))
    return float((observed - chance) / (1 - chance))


def implied_shares(chances: Floats) -> dict[str, float]:
    """The expected shares of wins, ties and losses of the first model, by the majority of an item's raters.

    Below the middle of the scale is a win, the middle a tie; what more raters said than anything else counts, and a tie
    where nothing is. All combinations of the raters' outcomes are summed.
    """
    middle = chances.shape[2] // 2
    outcomes = np.stack([chances[..., :middle].sum(-1), chances[..., middle], chances[..., middle + 1 :].sum(-1)], axis=-1)
    expected = np.zeros(3)
    for combination in product(range(3), repeat=chances.shape[1]):
        votes = np.bincount(combination, minlength=3)
        winner = int(votes.argmax()) if (votes == votes.max()).sum() == 1 else 1
        expected[winner] += np.prod(
            [outcomes[:, rater, outcome] for rater, outcome in enumerate(combination)], axis=0
        ).mean()
    return dict(zip(("win", "tie", "loss"), expected.tolist(), strict=True))
