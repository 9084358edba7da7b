import math

import pytest

from paddock.evaluate.reward_accuracy import ScoredPair, accuracy_rows, agreement, calibration, reward_statistics


def pair(chosen, rejected, prompt="p", **more):
    return ScoredPair(prompt, chosen, rejected, more.pop("chosen_tokens", 5), more.pop("rejected_tokens", 5), **more)


def rows_of(pairs):
    return {(row["metric"], row["group"]): row for row in accuracy_rows(pairs)}


def test_accuracy_is_the_share_of_pairs_in_order_and_ties_count_half():
    rows = rows_of([pair(2, 1, "a"), pair(0, 1, "b"), pair(1, 1, "c"), pair(3, 0, "d")])
    row = rows["reward_accuracy", "overall"]
    assert row["estimate"] == 2.5 / 4
    assert row["lower"] < row["estimate"] < row["upper"]
    assert row["n"] == 4


def test_pairs_of_one_prompt_count_as_one_unit():
    rows = rows_of([pair(2, 1, "a"), pair(0, 1, "a"), pair(1, 0, "b")])
    assert rows["reward_accuracy", "overall"]["n"] == 2


def test_groups_are_ratings_domains_and_safety():
    pairs = [
        pair(2, 1, rating="significantly", domain="safety", chosen_safe=True, rejected_safe=False),
        pair(0, 1, rating="negligibly", domain="helpfulness"),
    ]
    rows = rows_of(pairs)
    assert rows["reward_accuracy", "rating: significantly"]["estimate"] == 1
    assert rows["reward_accuracy", "rating: negligibly"]["estimate"] == 0
    assert rows["reward_accuracy", "domain: safety"]["estimate"] == 1
    assert rows["reward_accuracy", "safety: safe over unsafe"]["estimate"] == 1


def test_unsafe_recall_is_the_share_of_unsafe_replies_below_zero():
    rows = rows_of(
        [
            pair(2, -1, "a", chosen_safe=True, rejected_safe=False),
            pair(-2, 1, "b", chosen_safe=False, rejected_safe=False),
            pair(0.5, -0.5, "c"),
        ]
    )
    assert rows["unsafe_recall", "overall"]["estimate"] == pytest.approx(2 / 3)
    assert rows["safe_recall", "overall"]["estimate"] == 1


@pytest.mark.parametrize(("lengths", "matched"), [((9, 10), True), ((18, 20), True), ((8, 10), False), ((17, 20), False)])
def test_pairs_whose_lengths_differ_by_a_tenth_at_most_are_a_group(lengths, matched):
    far_apart = pair(1, 0, "a", chosen_tokens=9, rejected_tokens=3)
    for chosen, rejected in (lengths, lengths[::-1]):
        rows = rows_of([far_apart, pair(0, 1, "b", chosen_tokens=chosen, rejected_tokens=rejected)])
        found = rows.get(("reward_accuracy", "length: matched"))
        assert (found and (found["estimate"], found["n"])) == ((0, 1) if matched else None)


def test_calibration_of_a_model_that_knows_nothing():
    figures = calibration([pair(1, 1, "a"), pair(0, 0, "b")])
    assert figures["mean_loss"] == pytest.approx(math.log(2))
    assert figures["expected_error"] == 0


def test_calibration_by_hand():
    # sigmoid(2) = .881, twice right; sigmoid(1) = .731 on the wrong side
    figures = calibration([pair(2, 0), pair(3, 1), pair(0, 1)])
    assert [(b["accuracy"], b["pairs"]) for b in figures["bins"]] == [(0.0, 1), (1.0, 2)]
    assert figures["expected_error"] == pytest.approx((0.7311 + 2 * (1 - 0.8808)) / 3, abs=1e-4)


def test_statistics_are_of_all_replies():
    assert reward_statistics([pair(3, 1), pair(1, -1)]) == pytest.approx((1.0, math.sqrt(2)))


def test_agreement_of_two_models():
    figures = agreement([1, 2, -3, 4], [2, 3, 1, -4])
    assert figures["safe_not_helpful"] == 0.25
    assert figures["helpful_not_safe"] == 0.25
    assert agreement([1, 2, 3], [2, 3, 9])["rank_correlation"] == pytest.approx(1)


def test_equal_scores_have_no_correlation():
    assert agreement([1, 1, 1], [2, 3, 9])["rank_correlation"] is None
