"""Shares by hand, against scipy and statsmodels' textbook cases, and their promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paddock.evaluate.comparison import (
    Judgement,
    by_majority,
    compare,
    majority,
    outcome_of,
    outcome_of_likert,
    seen_from,
    win_rates,
    win_rates_by,
)
from paddock.statistics import wilson_interval

OUTCOMES = ["win", "tie", "loss"]


def judged(outcomes: list[str], **fields) -> list[Judgement]:
    return [Judgement(f"p{place}", outcome, **fields) for place, outcome in enumerate(outcomes)]


def test_the_papers_seven_points_are_three_wins_a_tie_and_three_losses():
    assert [outcome_of_likert(point) for point in range(1, 8)] == ["win"] * 3 + ["tie"] + ["loss"] * 3


def test_an_even_scale_has_no_tie():
    assert [outcome_of_likert(point, 4) for point in range(1, 5)] == ["win", "win", "loss", "loss"]


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("A is much better", "win"),
        ("Model A is slightly better", "win"),
        ("About the same", "tie"),
        ("model B is better", "loss"),
        ("b", "loss"),
        ("model_b", "loss"),
        ("Tie", "tie"),
        (2, "win"),
    ],
)
def test_words_are_read_as_their_outcome(word, outcome):
    assert outcome_of(word) == outcome


@pytest.mark.parametrize("rating", [0, 8, -1, "better"])
def test_ratings_off_the_scale_are_refused(rating):
    with pytest.raises(ValueError, match="7"):
        outcome_of(rating)


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        (["win", "win", "loss"], "win"),
        (["loss", "tie", "loss"], "loss"),
        (["win", "tie", "loss"], "tie"),
        (["win", "loss"], "tie"),
        (["win", "tie"], "tie"),
        (["loss"], "loss"),
        (["win", "win", "loss", "loss", "tie"], "tie"),
    ],
)
def test_the_majority_is_what_more_raters_said_than_anything_else(votes, outcome):
    assert majority(votes) == outcome


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=7))
def test_the_majority_does_not_depend_on_the_side(votes):
    other = {"win": "loss", "tie": "tie", "loss": "win"}
    assert other[majority(votes)] == majority([other[vote] for vote in votes])


def test_raters_who_saw_other_sides_are_turned_round_before_they_vote():
    judgements = [
        Judgement("p", "win", "x", "y"),
        Judgement("p", "loss", "y", "x"),
        Judgement("p", "win", "y", "x"),
        Judgement("q", "tie", "y", "x"),
    ]
    assert by_majority(judgements) == [Judgement("p", "win", "x", "y"), Judgement("q", "tie", "y", "x")]
    assert seen_from("x", judgements[1]) == Judgement("p", "win", "x", "y")


def test_shares_are_of_judgements_and_their_wilson_interval_of_prompts():
    rates = win_rates(judged(["win"] * 6 + ["tie"] * 3 + ["loss"]))
    assert rates.win.wilson == wilson_interval(6, 10)
    assert (rates.tie.wilson.estimate, rates.loss.wilson.estimate) == (0.3, 0.1)
    assert rates.without_ties.wilson.estimate == pytest.approx(6 / 7)
    assert rates.without_ties.wilson.n == 7
    assert rates.sign_p == pytest.approx(stats.binomtest(6, 7).pvalue)
    assert rates.permutation_p == pytest.approx(stats.binomtest(6, 7).pvalue)


def test_a_prompt_that_is_judged_ten_times_is_one_prompt():
    once = judged(["win", "loss", "win", "win", "tie"] * 6)
    tenfold = [judgement for judgement in once for _ in range(10)]
    first, second = win_rates(once), win_rates(tenfold)
    assert second.win == first.win
    assert (second.sign_p, second.prompts, second.judgements) == (first.sign_p, 30, 300)


def test_prompts_with_more_ratings_than_others_make_fewer_trials():
    """One prompt of 30 ratings beside ten of one: 40^2 / (900 + 10) = 1.76 equal prompts, and not eleven."""
    judgements = [Judgement("often", "win")] * 30 + judged(["win"] * 5 + ["loss"] * 5)
    rates = win_rates(judgements)
    assert (rates.win.wilson.estimate, rates.win.wilson.n) == (35 / 40, 11)
    assert rates.win.wilson.lower == pytest.approx(wilson_interval(35 / 40, 1).lower)


def test_long_numbers_are_groups_of_their_own():
    days = [20261128, 20261129] * 3
    found = list(win_rates_by([Judgement(f"p{n}", "win", groups=(("day", day),)) for n, day in enumerate(days)], "day"))
    assert [(rates.group, rates.prompts) for rates in found] == [("day: 20261128", 3), ("day: 20261129", 3)]


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=30))
def test_shares_sum_to_1_and_the_other_side_sees_the_mirror(outcomes):
    judgements = judged(outcomes, first="x", second="y")
    mine = win_rates(judgements, resamples=50)
    others = win_rates([seen_from("y", judgement) for judgement in judgements], resamples=50)
    assert mine.win.wilson.estimate + mine.tie.wilson.estimate + mine.loss.wilson.estimate == pytest.approx(1)
    assert (others.win.wilson, others.tie.wilson, others.loss.wilson) == (mine.loss.wilson, mine.tie.wilson, mine.win.wilson)
    assert others.sign_p == mine.sign_p


def test_all_ties_say_nothing_against_equality():
    rates = win_rates(judged(["tie"] * 5))
    assert (rates.sign_p, rates.permutation_p) == (1, 1)
    row = rates.as_row()["win_without_ties"]
    assert (row["estimate"], row["lower"], row["upper"], row["n"]) == (None, 0, 1, 0)


def test_text_groups_are_as_they_are_and_many_numbers_are_cut_into_fifths():
    groups = [(("category", "talk" if k % 2 else "write"), ("words", float(k))) for k in range(100)]
    judgements = [Judgement(f"p{k}", "win" if k < 50 else "loss", groups=named) for k, named in enumerate(groups)]
    by_category = list(win_rates_by(judgements, "category"))
    assert [(rates.group, rates.prompts) for rates in by_category] == [("category: talk", 50), ("category: write", 50)]
    by_words = list(win_rates_by(judgements, "words"))
    assert [rates.group for rates in by_words][::4] == ["words: 0 to 19", "words: 80 to 99"]
    assert [rates.win.wilson.estimate for rates in by_words] == [1, 1, 0.5, 0, 0]
    assert sum(rates.prompts for rates in by_words) == 100


def test_few_numbers_are_groups_in_order_and_what_lacks_one_is_none():
    judgements = [
        Judgement(f"p{k}", "win", groups=(("turns", turns),)) for k, turns in enumerate([10.0, 2.0, None, 1.0, 2.0])
    ]
    found = [(rates.group, rates.prompts) for rates in win_rates_by(judgements, "turns")]
    assert found == [("turns: 1", 1), ("turns: 2", 2), ("turns: 10", 1), ("turns: none", 1)]


def test_two_models_have_no_scale_and_three_have_one():
    draw = np.random.default_rng(0)
    judgements = [
        Judgement(f"p{k}", OUTCOMES[draw.integers(0, 3)], *("xyz"[place] for place in draw.permutation(3)[:2]))
        for k in range(60)
    ]
    result = compare(judgements, resamples=50).as_result()
    assert {row["model"] for row in result["strengths"]} == {"x", "y", "z"}
    assert len(result["pairs"]) == 3
    assert "strengths" not in compare(judged(OUTCOMES), resamples=50).as_result()


def test_every_rating_counts_where_no_majority_is_wanted():
    judgements = [Judgement("p", outcome) for outcome in ("win", "win", "loss")] + [Judgement("q", "loss")]
    assert compare(judgements, resamples=50).pairs[0].win.wilson.estimate == 0.5
    assert compare(judgements, each_rating=True, resamples=50).pairs[0].win.wilson.estimate == 0.5
    assert compare(judgements, each_rating=True, resamples=50).pairs[0].judgements == 4
    assert compare(judgements[:3], each_rating=True, resamples=50).pairs[0].win.wilson.estimate == pytest.approx(2 / 3)


def test_judgements_of_several_pairs_have_no_one_share():
    with pytest.raises(ValueError, match="there are 2"):
        win_rates([Judgement("p", "win", "x", "y"), Judgement("p", "win", "x", "z")])


def test_turns_of_one_conversation_are_one_trial():
    """Ten conversations of four turns each, all turns alike: as if each had one turn."""
    outcomes = ["win"] * 7 + ["loss"] * 3
    turns = [
        Judgement(f"{n}.{turn}", outcome, conversation=f"c{n}") for n, outcome in enumerate(outcomes) for turn in range(4)
    ]
    found, once = win_rates(by_majority(turns)), win_rates(judged(outcomes))
    assert (found.win, found.sign_p) == (once.win, once.sign_p)
    assert (found.prompts, found.win.wilson.n) == (40, 10)
    others = [replace(turn, first="B", second="C") for turn in turns]
    alone = [replace(one, conversation=None) for one in (*turns, *others)]
    assert compare([*turns, *others]).strengths.se[0] > 1.5 * compare(alone).strengths.se[0]
