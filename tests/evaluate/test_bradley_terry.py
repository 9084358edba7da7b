"""Strengths against choix and evalica, intervals by simulation, and what has no maximum."""

from __future__ import annotations

import choix
import evalica
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.evaluate.bradley_terry import bradley_terry, fit, why_no_maximum

TRUTH = {"a": 0.9, "b": 0.3, "c": -0.2, "d": -1.0}


def simulated(count: int, seed: int, ties: float = 0.0):
    draw = np.random.default_rng(seed)
    names, strengths = np.array(list(TRUTH)), np.array(list(TRUTH.values()))
    i = draw.integers(0, 4, count)
    j = (i + draw.integers(1, 4, count)) % 4
    won = (draw.random(count) < 1 / (1 + np.exp(strengths[j] - strengths[i]))).astype(float)
    won[draw.random(count) < ties] = 0.5
    return names[i], names[j], won


def by_name(found):
    return dict(zip(found.models, found.strengths, strict=True))


def test_strengths_agree_with_choix():
    first, second, won = simulated(500, 0)
    place = {name: k for k, name in enumerate(TRUTH)}
    data = [(place[a], place[b]) if w else (place[b], place[a]) for a, b, w in zip(first, second, won, strict=True)]
    expected = choix.opt_pairwise(4, data, alpha=0, tol=1e-12)
    found = by_name(bradley_terry(first, second, won))
    assert [found[name] for name in TRUTH] == pytest.approx(expected - expected.mean(), abs=1e-5)


def test_strengths_with_ties_agree_with_evalica():
    first, second, won = simulated(500, 1, ties=0.3)
    winners = [evalica.Winner.X if w == 1 else evalica.Winner.Y if w == 0 else evalica.Winner.Draw for w in won]
    scores = evalica.bradley_terry(list(first), list(second), winners, tolerance=1e-12, limit=10_000).scores
    expected = np.log(scores) - np.log(scores).mean()
    found = by_name(bradley_terry(first, second, won))
    for name in TRUTH:
        assert found[name] == pytest.approx(expected[name], abs=1e-5)


def test_two_models_have_the_logit_of_their_share():
    found = bradley_terry(["a"] * 10, ["b"] * 10, [1] * 8 + [0] * 2)
    assert found.models == ("a", "b")
    assert found.strengths == pytest.approx([np.log(4) / 2, -np.log(4) / 2])
    assert found.win_probabilities()[0, 1] == pytest.approx(0.8)
    # The delta method: the logit of a share has the variance 1 / (n p q); half of it is each side's, C / (C - 1) the factor.
    assert found.se == pytest.approx([np.sqrt(1 / (10 * 0.8 * 0.2) * 10 / 9) / 2] * 2)


def test_intervals_hold_the_truth_95_times_of_100():
    held = total = 0
    for seed in range(150):
        found = bradley_terry(*simulated(300, seed))
        for name, lower, upper in zip(found.models, found.lower, found.upper, strict=True):
            held += lower <= TRUTH[name] <= upper
            total += 1
    assert 0.92 < held / total < 0.975


def test_the_same_judgement_five_times_is_one_where_prompts_are_named():
    first, second, won = simulated(200, 3)
    prompts = np.arange(200)
    once = bradley_terry(first, second, won, prompts)
    copies = bradley_terry(np.tile(first, 5), np.tile(second, 5), np.tile(won, 5), np.tile(prompts, 5))
    assert copies.se == pytest.approx(once.se)
    assert bradley_terry(first, second, won).se == pytest.approx(once.se)
    feigned = bradley_terry(np.tile(first, 5), np.tile(second, 5), np.tile(won, 5))
    assert (feigned.se < 0.5 * once.se).all()


def test_an_undefeated_model_is_named_and_gets_no_number():
    found = bradley_terry(["a", "a", "b", "c"], ["b", "c", "c", "b"], [1, 1, 1, 1])
    assert found.note == "a never lost to any other model, not even by a tie: the strength has no bound"
    assert np.isnan(found.strengths).all()
    assert found.as_rows()[0] == {"model": "a", "strength": None, "se": None, "lower": None, "upper": None}


def test_a_model_that_never_won_is_named():
    found = bradley_terry(["a", "b", "a", "b"], ["b", "a", "c", "c"], [1, 1, 1, 1])
    assert found.note == "c never won against any other model, not even by a tie: the strength has no bound"


def test_models_that_were_never_compared_are_named():
    found = bradley_terry(["a", "b", "c", "d"], ["b", "a", "d", "c"], [1, 1, 1, 1])
    assert found.note.endswith("a, b | c, d")


def test_a_tie_is_enough_for_a_maximum():
    assert bradley_terry(["a", "a", "b"], ["b", "b", "a"], [1, 1, 0.5]).note is None


def test_a_group_beaten_by_none_has_no_maximum_though_each_of_it_lost():
    # a and b beat each other, and both always beat c and d, who beat each other.
    pairs = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("a", "c"), ("b", "d")]
    found = bradley_terry([p[0] for p in pairs], [p[1] for p in pairs], [1] * 6)
    assert found.note.startswith("a, b never lost to")


@given(st.lists(st.lists(st.integers(1, 30), min_size=4, max_size=4), min_size=4, max_size=4))
def test_at_the_maximum_expected_wins_are_the_wins(table):
    wins = np.array(table, dtype=float)
    np.fill_diagonal(wins, 0)
    strengths = fit(wins)
    expected = (wins + wins.T) / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    assert expected.sum(axis=1) == pytest.approx(wins.sum(axis=1), rel=1e-8)
    assert strengths.sum() == pytest.approx(0, abs=1e-9)


def test_a_lopsided_table_converges():
    wins = np.array([[0, 1e6, 1e6], [1, 0, 1e6], [1, 1, 0]], dtype=float)
    strengths = fit(wins)
    expected = (wins + wins.T) / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    assert expected.sum(axis=1) == pytest.approx(wins.sum(axis=1), rel=1e-8)


def test_no_comparison_has_no_maximum():
    assert bradley_terry([], [], []).note == why_no_maximum(np.zeros((0, 0)), ()) == "no comparison of two models"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((["a"], ["a"], [1]), "compared with itself"),
        ((["a"], ["b"], [2]), "outside 0 to 1"),
        ((["a"], ["b", "c"], [1]), "1 first models, 2 second"),
        ((["a"], [None], [1]), "lacks the name"),
    ],
)
def test_calls_that_make_no_sense_are_refused(words, problem):
    with pytest.raises(ValueError, match=problem):
        bradley_terry(*words)
