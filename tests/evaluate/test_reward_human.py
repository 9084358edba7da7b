"""Rewards beside people: means by rating and rank correlations, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddock.evaluate.reward_human import Rated, by_likert, correlations


def rated(likert, rewards, prompts=None) -> list[Rated]:
    names = prompts or [f"p{n}" for n in range(len(likert))]
    return [Rated(*fields) for fields in zip(names, likert, rewards, strict=True)]


def test_means_by_rating_are_in_order_with_their_deviation():
    rows = by_likert(rated([3, 1, 3, 6.5], [0.4, 0.1, 0.8, 0.9]))
    assert [(row["likert"], row["n"]) for row in rows] == [(1, 1), (3, 2), (6.5, 1)]
    assert rows[1]["mean"] == pytest.approx(0.6)
    assert rows[1]["sd"] == pytest.approx(math.sqrt(0.08))
    assert rows[0]["sd"] is None


def test_correlations_of_a_case_worked_by_hand():
    """Of six pairs five are in order and one is not: tau = (5 - 1) / 6. Ranks differ by 0, 0, 1, 1: rho = 1 - 12 / 60."""
    found = correlations(rated([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3]))
    assert found["kendall"].estimate == pytest.approx(4 / 6)
    assert found["spearman"].estimate == pytest.approx(1 - 12 / 60)


def test_ties_are_tau_b():
    """Medians 1 1 2, rewards 1 2 3: concordant 2, one pair tied: 2 / sqrt(2 * 3)."""
    assert correlations(rated([1, 1, 2], [1, 2, 3]))["kendall"].estimate == pytest.approx(2 / math.sqrt(6))


def test_one_value_alone_has_no_correlation():
    for found in (correlations(rated([3, 3, 3], [1, 2, 3])), correlations(rated([1, 2], [0.5, 0.5]))):
        assert all(math.isnan(interval.estimate) for interval in found.values())
    assert math.isnan(correlations(rated([1], [0.5]))["spearman"].lower)


def test_replies_to_one_prompt_count_as_one():
    generator = np.random.default_rng(0)
    likert, noise = generator.integers(1, 8, 60).astype(float), generator.normal(0, 2, 60)
    alone = correlations(rated(likert, likert + noise))["spearman"]
    copies = correlations(rated(np.tile(likert, 4), np.tile(likert + noise, 4), [f"p{n}" for n in range(60)] * 4))[
        "spearman"
    ]
    assert (alone.n, copies.n) == (60, 60)
    assert copies.estimate == pytest.approx(alone.estimate)
    assert copies.upper - copies.lower == pytest.approx(alone.upper - alone.lower, rel=0.15)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """60 studies of 80 bivariate normal pairs of correlation 0.6, whose Spearman's rho is 6/pi asin(0.3)."""
    truth, generator, held = 6 / math.pi * math.asin(0.3), np.random.default_rng(1), 0
    for _ in range(60):
        x = generator.normal(size=80)
        y = 0.6 * x + 0.8 * generator.normal(size=80)
        interval = correlations(rated(x, y), resamples=100)["spearman"]
        held += interval.lower <= truth <= interval.upper
    assert held >= 51
