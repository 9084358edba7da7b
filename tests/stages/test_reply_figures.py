"""The figures of replies, added up prompt by prompt."""

from __future__ import annotations

import math
from statistics import median
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.stages.replies import ScoredReply, Scores, best_of, probability, usable
from paddock.stages.reply_figures import ReplyFigures, curve, first_n
from paddock.stages.rewards import Scale


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def scored(p: float, ended: bool = True, text: str = "yes", safety: float | None = None) -> ScoredReply:
    return ScoredReply((5,), text, ended, Scores(logit(p), safety, logit(p)))


def rewards(safety: object = "a model") -> SimpleNamespace:
    return SimpleNamespace(safety=safety, helpfulness_scale=Scale(1.0, 2.0), safety_scale=Scale(-1.0, 1.0))


def figures_of(*prompts: list[ScoredReply]) -> ReplyFigures:
    figures = ReplyFigures()
    for replies in prompts:
        figures.add(replies, usable(replies))
    return figures


def test_the_curves_are_hand_worked_means_of_best_and_median_of_the_first_n() -> None:
    replies = [[scored(0.2), scored(0.6), scored(0.4)], [scored(0.5), scored(0.1), scored(0.9)]]
    points = curve([first_n(some) for some in replies])
    assert [point["replies"] for point in points] == [1, 2, 3]
    assert [point["max"]["estimate"] for point in points] == pytest.approx([0.35, 0.55, 0.75])
    assert [point["median"]["estimate"] for point in points] == pytest.approx([0.35, 0.35, 0.45])


def test_the_best_of_the_curves_is_what_would_be_kept() -> None:
    (_, point) = curve([first_n([scored(0.3), scored(0.9, ended=False)])])
    assert point["max"]["estimate"] == pytest.approx(0.3)


def test_a_prompt_with_fewer_replies_counts_with_all_it_has() -> None:
    points = curve([first_n([scored(0.2)]), first_n([scored(0.4), scored(0.8)])])
    assert [point["max"]["estimate"] for point in points] == pytest.approx([0.3, 0.5])


def test_without_any_reply_there_is_no_curve() -> None:
    assert curve([]) == []


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=12))
def test_each_n_is_the_best_and_the_median_of_the_first_n(pairs: list[tuple[float, bool]]) -> None:
    replies = [scored(p, ended) for p, ended in pairs]
    best, middle = first_n(replies)
    counts = range(1, len(replies) + 1)
    assert list(best) == [probability(best_of(replies[:n]).scores.reward) for n in counts]
    assert list(middle) == [median(probability(reply.scores.reward) for reply in replies[:n]) for n in counts]


def test_what_is_unusable_or_cut_short_is_counted_of_all_replies() -> None:
    figures = figures_of(
        [scored(0.5), scored(0.5, text="")], [scored(0.5, ended=False), scored(0.5)], [scored(0.5, text="")]
    )
    results = figures.results(rewards())
    assert (results["unusable"], results["cut_short_share"]) == (2, pytest.approx(0.2))
    assert len(figures.prompts) == 2


def test_agreement_is_of_standardised_scores() -> None:
    """Means are 1 and -1: the first is helpful and unsafe, the second safe and no help, the third neither."""
    replies = [ScoredReply((5,), "yes", True, Scores(h, s, h)) for h, s in ((2.0, -1.5), (0.5, -0.5), (0.0, -2.0))]
    found = figures_of(replies).results(rewards())["agreement"]
    assert found["safe_not_helpful"] == found["helpful_not_safe"] == pytest.approx(1 / 3)


def test_one_reward_model_agrees_with_nobody() -> None:
    assert figures_of([scored(0.5)]).results(rewards(safety=None))["agreement"] is None
    assert figures_of([scored(0.5, text="")]).results(rewards())["agreement"] is None
