"""Versions' places and where their rewards part from neutral ones, worked by hand."""

from __future__ import annotations

import pytest

from paddock.evaluate.reward_curve import divergence, standing, win_of
from paddock.statistics import wilson_interval


def test_a_win_is_a_higher_score_and_an_equal_one_is_half():
    assert [win_of(2.0, 1.0), win_of(1.0, 1.0), win_of(0.0, 1.0)] == [1.0, 0.5, 0.0]
    assert win_of(None, 1.0) is win_of(1.0, None) is None


def test_a_standing_is_the_share_of_wins_with_wilsons_interval():
    found = standing([1.0, 0.5, 0.5, 0.0, 1.0, None])
    assert found == {"win_rate": wilson_interval(3, 5).as_row(), "unscored": 1}
    assert standing([None])["win_rate"]["estimate"] is None


def test_a_version_that_gains_by_its_own_rewards_and_loses_by_neutral_ones_diverges():
    """Eight prompts: all won now under its own rewards; under neutral ones all were won before: p = 2 / 2^8."""
    own = {"v1": [0.0] * 8, "v2": [1.0] * 8}
    neutral = {"v1": [1.0] * 8, "v2": [0.0] * 8}
    (row,) = divergence(own, neutral)
    assert (row["before"], row["version"], row["diverges"]) == ("v1", "v2", True)
    assert row["neutral_p"] == pytest.approx(2 / 2**8)
    assert (row["own_change"]["estimate"], row["neutral_change"]["estimate"], row["gap"]["estimate"]) == (1, -1, 1)


def test_a_fall_that_may_be_chance_or_under_both_rewards_is_no_divergence():
    rising, falling = {"v1": [0.0] * 4, "v2": [1.0] * 4}, {"v1": [1.0] * 4, "v2": [0.0] * 4}
    assert not divergence(rising, falling)[0]["diverges"]  # p = 2 / 2^4
    wide = {"v1": [1.0] * 8, "v2": [0.0] * 8}
    assert not divergence(wide, wide)[0]["diverges"]
    assert not divergence({k: list(reversed(v)) for k, v in wide.items()}, {"v1": [0.0] * 8, "v2": [1.0] * 8})[0]["diverges"]


def test_prompts_that_one_of_them_cannot_score_are_left_out_of_what_they_share():
    own = {"v1": [0.0, 0.0, None], "v2": [1.0, 1.0, 1.0]}
    neutral = {"v1": [0.0, 0.0, 0.0], "v2": [1.0, None, 1.0]}
    (row,) = divergence(own, neutral)
    assert row["own_change"]["n"] == row["gap"]["n"] == 1


def test_each_version_is_compared_with_the_one_before():
    wins = {name: [0.0, 1.0] for name in ("sft", "v1", "v2")}
    assert [(row["before"], row["version"]) for row in divergence(wins, wins)] == [("sft", "v1"), ("v1", "v2")]
    assert divergence({"sft": [1.0]}, {"sft": [1.0]}) == []


def test_nothing_that_both_score_is_unknown():
    (row,) = divergence({"a": [None], "b": [1.0]}, {"a": [1.0], "b": [1.0]})
    assert row["own_change"]["estimate"] is None
    assert not row["diverges"]
