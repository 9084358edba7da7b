"""What noise implies, against a large direct simulation whose agreement is computed by the library."""

from __future__ import annotations

import numpy as np
import pytest

from paddock.evaluate.agreement import agreement
from paddock.evaluate.comparison import majority, outcome_of_likert
from paddock.evaluate.ratings import Ratings
from paddock.miniature.annotators import ANNOTATORS, likert_chances
from paddock.studio.implied import implied_ac2, implied_shares

POINTS = tuple(float(point) for point in range(1, 8))


@pytest.fixture(scope="module")
def chances():
    """40 pairs of replies, whose worth differs as in the miniature world."""
    differences = np.random.default_rng(0).choice([-1.2, -0.8, -0.2, 0.0, 0.0, 0.3, 1.0], 40)
    return np.array([[likert_chances(difference, one.noise) for one in ANNOTATORS] for difference in differences])


@pytest.fixture(scope="module")
def simulated(chances):
    """Ratings (items x 4,000, raters), codes from 0: every pair rated 4,000 times."""
    uniform = np.random.default_rng(1).random((4000, *chances.shape[:2], 1))
    codes = (uniform > chances.cumsum(axis=2)[None, :, :, :-1]).sum(axis=3)
    return codes.reshape(-1, chances.shape[1]).astype(np.uint8)


@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
def test_implied_agreement_is_that_of_a_large_simulation(chances, simulated, weights):
    found = agreement(Ratings(simulated, POINTS, True), "ac2", weights)
    assert implied_ac2(chances, weights) == pytest.approx(found.value, abs=4 * found.se)
    assert found.se < 0.002


def test_implied_shares_are_those_of_a_large_simulation(chances, simulated):
    outcomes = [majority([outcome_of_likert(code + 1) for code in row]) for row in simulated.tolist()]
    for name, share in implied_shares(chances).items():
        assert share == pytest.approx(outcomes.count(name) / len(outcomes), abs=0.005)


def test_raters_without_a_doubt_agree_wholly():
    sure = np.zeros((3, 3, 7))
    sure[[0, 1, 2], :, [0, 3, 6]] = 1
    assert implied_ac2(sure, "quadratic") == pytest.approx(1)
    assert implied_shares(sure) == pytest.approx({"win": 1 / 3, "tie": 1 / 3, "loss": 1 / 3})
