"""Intervals and tests against published tables, scipy, and their own promises."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paddock.statistics import (
    Interval,
    bootstrap_of_group_means,
    cluster_totals,
    clustered_bootstrap,
    grade_interval,
    mean_interval,
    pairs_for_power,
    permutation_test,
    poisson_interval,
    ratio_bootstrap,
    sign_test,
    trials_for_width,
    wilson_interval,
)

# Darwin's heights of 15 pairs of maize plants, crossed less self-fertilized, in eighths of an inch (Fisher 1935, table 3).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

# Student's sleep data (1908): hours gained by ten patients under two drugs.
SLEEP_FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

# Newcombe (1998), Statistics in Medicine 17, table I, method 3 (score, no continuity correction), 95%.
NEWCOMBE = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("successes", "n", "lower", "upper"), NEWCOMBE)
def test_wilson_equals_newcombes_published_table(successes, n, lower, upper):
    interval = wilson_interval(successes, n)
    assert (round(interval.lower, 4), round(interval.upper, 4)) == (lower, upper)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_equals_scipy(confidence):
    interval = wilson_interval(37, 90, confidence)
    expected = stats.binomtest(37, 90).proportion_ci(confidence, method="wilson")
    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_holds_its_estimate_within_0_and_1(trials, confidence):
    interval = wilson_interval(*trials, confidence)
    assert 0 <= interval.lower <= interval.upper <= 1
    assert trials[1] == 0 or interval.lower <= interval.estimate <= interval.upper


@given(st.integers(0, 300), st.floats(0.01, 1e4), st.sampled_from([0.9, 0.95, 0.99]))
def test_poisson_equals_the_quantiles_of_chi_square(events, exposure, confidence):
    interval, tail = poisson_interval(events, exposure, confidence), (1 - confidence) / 2
    lower = stats.chi2.ppf(tail, 2 * events) / 2 if events else 0.0
    upper = stats.chi2.ppf(1 - tail, 2 * events + 2) / 2
    assert (interval.lower * exposure, interval.upper * exposure) == pytest.approx((lower, upper))
    assert (interval.estimate, interval.n) == (events / exposure, events)


@pytest.mark.parametrize(("events", "exposure"), [(-1, 1.0), (1, 0.0), (1, math.nan)])
def test_a_rate_of_nothing_is_refused(events, exposure):
    with pytest.raises(ValueError, match="events in an exposure of"):
        poisson_interval(events, exposure)


def test_wilson_without_trials_is_all_of_0_to_1():
    interval = wilson_interval(0, 0)
    assert math.isnan(interval.estimate)
    assert (interval.lower, interval.upper, interval.n) == (0.0, 1.0, 0)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_wilson_covers_the_truth_by_exact_count(share):
    # The coverage is a sum over all outcomes, not a simulation. At n = 100 Wilson's lies between .92 and .98 (Agresti 1998).
    n = 100
    covered = [k for k in range(n + 1) if wilson_interval(k, n).lower <= share <= wilson_interval(k, n).upper]
    assert 0.92 < stats.binom.pmf(covered, n, share).sum() < 0.98


def test_grades_of_zeros_and_ones_are_a_share():
    assert grade_interval([1, 0, 1, 1, 0]) == wilson_interval(3, 5)


def test_grades_that_are_all_right_leave_room_for_doubt():
    # Newcombe (1998), table I: 0 of 20 is 0 to .1611, so 20 of 20 is .8389 to 1.
    interval = grade_interval([1.0] * 20)
    assert (interval.estimate, round(interval.lower, 4), interval.upper) == (1.0, 0.8389, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_an_interval_of_grades_holds_their_mean_within_0_and_1(grades):
    interval = grade_interval(grades)
    assert 0 <= interval.lower <= interval.estimate + 1e-12
    assert interval.estimate - 1e-12 <= interval.upper <= 1
    assert interval.estimate == pytest.approx(np.mean(grades))


@pytest.mark.parametrize("shares", [[0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.02, 0.0, 0.98]])
def test_an_interval_of_grades_covers_the_truth_with_partial_credit(shares):
    generator, truth, covered = np.random.default_rng(12), np.dot(shares, [0, 0.5, 1]), 0
    for _ in range(1000):
        interval = grade_interval(generator.choice([0, 0.5, 1], size=40, p=shares))
        covered += interval.lower <= truth <= interval.upper
    assert covered / 1000 > 0.935


def test_mean_interval_equals_students_published_sleep_interval():
    # R's documentation of `sleep`: t.test(extra ~ group, paired = TRUE) gives -2.4598858 -0.7001142.
    interval = mean_interval(np.subtract(SLEEP_FIRST, SLEEP_SECOND))
    assert (interval.lower, interval.upper) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)
    assert interval.estimate == pytest.approx(-1.58)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(0.5, 0.999))
def test_mean_interval_equals_scipy(values, confidence):
    interval = mean_interval(values, confidence)
    if np.ptp(values) == 0:
        assert interval.lower == interval.estimate == interval.upper
        return
    expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


def test_mean_interval_of_one_value_has_unknown_bounds():
    interval = mean_interval([0.25])
    assert (interval.estimate, interval.n) == (0.25, 1)
    assert math.isnan(interval.lower)
    assert math.isnan(interval.upper)


def test_mean_interval_of_nothing_is_unknown():
    interval = mean_interval([])
    assert interval.n == 0
    assert math.isnan(interval.estimate)


def test_row_has_null_where_a_number_is_unknown():
    assert mean_interval([0.25]).as_row() == {"estimate": 0.25, "lower": None, "upper": None, "n": 1}


def test_bootstrap_of_lone_values_equals_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    interval = clustered_bootstrap(values, range(60), resamples=40_000, seed=2)
    expected = stats.bootstrap((values,), np.mean, n_resamples=40_000, method="percentile", rng=3).confidence_interval
    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_bootstrap_of_three_clusters_equals_all_27_draws():
    # Clusters a = (0, 1), b = (1,), c = (1, 1, 1): each of the 27 ordered draws has the same chance, so the 25% and 75%
    # quantiles of the bootstrap distribution are those of the list below.
    sums, counts = [1, 1, 3], [2, 1, 3]
    draws = [(i, j, k) for i in range(3) for j in range(3) for k in range(3)]
    means = [sum(sums[c] for c in draw) / sum(counts[c] for c in draw) for draw in draws]
    interval = clustered_bootstrap([0, 1, 1, 1, 1, 1], list("aabccc"), confidence=0.5, resamples=50_000)
    assert (interval.lower, interval.upper) == pytest.approx(np.quantile(means, [0.25, 0.75], method="inverted_cdf"))
    assert (interval.estimate, interval.n) == (5 / 6, 3)


def test_bootstrap_of_copies_is_as_wide_as_without_them():
    # Ten copies of each answer bring no knowledge: an interval that shrank would take them for independent.
    values = np.random.default_rng(4).normal(size=80)
    alone = clustered_bootstrap(values, range(80), seed=5)
    copies = clustered_bootstrap(np.repeat(values, 10), np.repeat(np.arange(80), 10), seed=5)
    assert (copies.lower, copies.upper) == pytest.approx((alone.lower, alone.upper), abs=1e-12)


def test_bootstrap_covers_the_truth_with_correlated_answers():
    # 4 answers to each of 30 prompts share the prompt's difficulty; the docstring promises about 93% of 95%.
    generator, covered = np.random.default_rng(6), 0
    prompts = np.repeat(np.arange(30), 4)
    for trial in range(800):
        values = generator.normal(size=30)[prompts] + generator.normal(size=120)
        interval = clustered_bootstrap(values, prompts, resamples=400, seed=trial)
        covered += interval.lower <= 0 <= interval.upper
    assert 0.905 < covered / 800 < 0.955


def test_bootstrap_repeats_with_its_seed_alone():
    values = np.random.default_rng(7).normal(size=40)
    assert clustered_bootstrap(values, range(40), seed=8) == clustered_bootstrap(values, range(40), seed=8)
    assert clustered_bootstrap(values, range(40), seed=8) != clustered_bootstrap(values, range(40), seed=9)


def test_bootstrap_in_blocks_equals_bootstrap_at_once(monkeypatch):
    values = np.random.default_rng(10).normal(size=40)
    whole = clustered_bootstrap(values, range(40), seed=11)
    monkeypatch.setattr("paddock.statistics.BLOCK_VALUES", 100)
    assert clustered_bootstrap(values, range(40), seed=11) == whole


def test_bootstrap_of_equal_values_has_no_width():
    assert clustered_bootstrap([1.0] * 6, "aabbcc") == Interval(1.0, 1.0, 1.0, 3)


def test_bootstrap_of_one_cluster_has_unknown_bounds():
    interval = clustered_bootstrap([0.0, 1.0], ["p", "p"])
    assert (interval.estimate, interval.n) == (0.5, 1)
    assert math.isnan(interval.lower)


def test_permutation_test_equals_fishers_count_of_darwins_maize():
    # Fisher 1935, section 21: 863 of 32,768 patterns on one side are as extreme, 1,726 on both.
    assert permutation_test(DARWIN, np.zeros(15)) == 1726 / 32_768


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=9))
def test_permutation_test_equals_scipys_exact_one(pairs):
    first, second = np.array(pairs, dtype=float).T
    expected = stats.permutation_test(
        (first, second), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    # scipy doubles the smaller tail, which is the same by symmetry, but may exceed 1 before it is cut.
    assert permutation_test(first, second) == pytest.approx(expected.pvalue, abs=1e-12)


def test_random_permutation_test_agrees_with_the_exact_one(monkeypatch):
    exact = permutation_test(DARWIN, np.zeros(15))
    monkeypatch.setattr("paddock.statistics.EXACT_PAIRS", 10)
    assert permutation_test(DARWIN, np.zeros(15), resamples=40_000) == pytest.approx(exact, abs=0.004)


def test_random_permutation_test_is_never_zero():
    assert permutation_test(np.arange(1, 101), np.zeros(100), resamples=99) == 1 / 100


def test_permutation_test_of_equal_pairs_is_one():
    assert permutation_test([1.0, 2.0], [1.0, 2.0]) == 1.0


def test_sign_test_equals_hand_work_on_darwins_maize():
    # 2 of 15 are negative: 2 (1 + 15 + 105) / 2^15.
    assert sign_test(DARWIN, np.zeros(15)) == pytest.approx(242 / 32_768, rel=1e-12)


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=40))
def test_sign_test_equals_scipys_binomial_test_without_ties(differences):
    plus, minus = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    expected = stats.binomtest(plus, plus + minus).pvalue if plus + minus else 1.0
    assert sign_test(differences, np.zeros(len(differences))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson_interval(3, 2),
        lambda: wilson_interval(-1, 2),
        lambda: wilson_interval(1, 2, confidence=1.0),
        lambda: grade_interval([0.5, 1.5]),
        lambda: mean_interval([1.0, math.nan]),
        lambda: mean_interval([[1.0, 2.0]]),
        lambda: clustered_bootstrap([1.0, 2.0], ["a"]),
        lambda: clustered_bootstrap([1.0, 2.0], ["a", "b"], resamples=0),
        lambda: permutation_test([1.0], [1.0, 2.0]),
        lambda: permutation_test([1.0], [2.0], resamples=0),
        lambda: sign_test([1.0], [1.0, 2.0]),
    ],
)
def test_a_call_without_sense_is_a_value_error(call):
    with pytest.raises(ValueError, match=r"\d"):
        call()


@pytest.mark.parametrize(("width", "share"), [(0.1, 0.5), (0.02, 0.36), (0.05, 0.0), (0.3, 1.0), (0.9, 0.5)])
def test_trials_for_a_width_are_the_fewest(width, share):
    n = trials_for_width(width, share)
    widths = [interval.upper - interval.lower for interval in (wilson_interval(share * k, k) for k in (n, n - 1))]
    assert widths[0] <= width < widths[1]


def test_the_papers_4000_prompts_give_an_interval_of_3_points():
    # The paper's 95% intervals are 1 to 2 points to either side (Figure 1).
    assert 3_000 < trials_for_width(0.03, 0.36) < 4_000


def test_pairs_for_power_find_the_difference_as_often_as_promised():
    pairs = pairs_for_power(0.36, 0.28)
    draw = np.random.default_rng(0)
    found = []
    for _ in range(400):
        outcomes = draw.choice([1, 0, -1], size=pairs, p=[0.36, 0.36, 0.28])
        found.append(sign_test(outcomes, np.zeros(pairs)) < 0.05)
    assert 0.73 < np.mean(found) < 0.86


@pytest.mark.parametrize("words", [(0.3, 0.3), (0.8, 0.3), (-0.1, 0.3), (0.4, 0.3, 1.5)])
def test_a_power_that_cannot_be_is_refused(words):
    with pytest.raises(ValueError, match="shares"):
        pairs_for_power(*words)


def test_a_ratio_is_of_sums_and_its_interval_draws_pairs():
    """Of three people who found 0, 2 and 4 in 1, 1 and 2 hours, all 27 draws are worked out."""
    found, hours = [0, 2, 4], [1.0, 1.0, 2.0]
    draws = [[a, b, c] for a in range(3) for b in range(3) for c in range(3)]
    ratios = [sum(found[k] for k in draw) / sum(hours[k] for k in draw) for draw in draws]
    interval = ratio_bootstrap(found, hours, confidence=0.8, resamples=40_000)
    assert interval.estimate == 1.5
    assert (interval.lower, interval.upper) == pytest.approx(tuple(np.quantile(ratios, [0.1, 0.9])), abs=0.02)
    assert interval.n == 3


def test_a_ratio_over_nothing_or_over_no_time():
    assert math.isnan(ratio_bootstrap([], []).estimate)
    assert ratio_bootstrap([3], [2]).as_row() == {"estimate": 1.5, "lower": None, "upper": None, "n": 1}
    with pytest.raises(ValueError, match="must be above 0"):
        ratio_bootstrap([1, 2], [1, 0])


def test_totals_of_clusters_come_in_order_of_appearance():
    sums, counts = cluster_totals([1, 2, 3, 4], ["b", "a", "b", "c"])
    assert (sums.tolist(), counts.tolist()) == ([4, 2, 4], [2, 1, 1])


def test_the_mean_of_group_means_of_a_hand_worked_case():
    found = bootstrap_of_group_means([1, 0, 0, 1], [[1, 0], [1, 0], [1, 0], [1, 1]])
    assert found.estimate == pytest.approx((2 / 4 + 1) / 2)
    assert found.n == 4
    assert found.lower < found.estimate <= found.upper <= 1
    assert found == bootstrap_of_group_means([1, 0, 0, 1], [[1, 0], [1, 0], [1, 0], [1, 1]])


def test_the_interval_of_group_means_covers_the_truth():
    draw, held = np.random.default_rng(0), 0
    shares = np.array([0.1, 0.3, 0.6])
    for _ in range(200):
        group = draw.integers(0, 3, 120)
        values = draw.random(120) < shares[group]
        found = bootstrap_of_group_means(values, np.eye(3)[group], resamples=300)
        held += found.lower <= shares.mean() <= found.upper
    assert 0.89 <= held / 200 <= 0.99


def test_a_mean_of_group_means_needs_a_value_in_each_group():
    with pytest.raises(ValueError, match="each of which needs one"):
        bootstrap_of_group_means([1, 0], [[1, 0], [1, 0]])
    assert math.isnan(bootstrap_of_group_means([1], [[1]]).lower)
