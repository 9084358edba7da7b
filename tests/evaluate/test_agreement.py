"""Coefficients against Gwet's published sets, irrCAC, krippendorff and scikit-learn, and their own promises."""

from __future__ import annotations

import math
import subprocess
import sys
import time
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from irrCAC.raw import CAC
from sklearn.metrics import cohen_kappa_score

from paddock.errors import DataError, SettingsError
from paddock.evaluate.agreement import Agreement, AgreementWarning
from paddock.evaluate.agreement import agreement as warning_agreement
from paddock.evaluate.ratings import code_ratings
from paddock.evaluate.weights import SCHEMES

specification = spec_from_file_location("golden", Path(__file__).with_name("golden.py"))
golden = module_from_spec(specification)
specification.loader.exec_module(golden)
RAW4, BENGERRY, FLEISS6, ABSTRACT3 = golden.RAW4, golden.BENGERRY, golden.FLEISS6, golden.ABSTRACT3

LABELS = ["a", "b", "c", "d", "e"]
NAMES = {"ac2": "gwet", "fleiss": "fleiss", "alpha": "krippendorff", "bp": "bp"}


def agreement(*words, **options) -> Agreement:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AgreementWarning)
        return warning_agreement(*words, **options)


GOLDEN = [
    # set, coefficient, weights, categories, value, se
    ("RAW4", "ac1", "identity", None, 0.77544407, 0.14294995),
    ("RAW4", "alpha", "identity", None, 0.74342105, 0.14557389),
    ("RAW4", "fleiss", "identity", None, 0.76116928, 0.1530192),
    ("RAW4", "bp", "identity", None, 0.77272727, 0.14471662),
    ("RAW4", "pa", "identity", None, 0.81818182, 0.12560896),
    ("RAW4", "ac2", "linear", None, 0.85873914, 0.11732902),
    ("RAW4", "ac2", "quadratic", None, 0.91400072, 0.10396224),
    ("RAW4", "ac2", "ordinal", None, 0.89893977, 0.10690352),
    ("RAW4", "ac2", "radical", None, 0.8198117, 0.12835552),
    ("RAW4", "ac2", "ratio", None, 0.85736756, 0.12207133),
    ("RAW4", "ac2", "circular", None, 0.83019514, 0.13265138),
    ("RAW4", "ac2", "bipolar", None, 0.90037302, 0.10581571),
    ("RAW4", "alpha", "linear", None, 0.80038388, 0.13547774),
    ("RAW4", "alpha", "quadratic", None, 0.84910714, 0.12912997),
    ("RAW4", "alpha", "ordinal", None, 0.83363803, 0.13107343),
    ("RAW4", "alpha", "ratio", None, 0.79740277, 0.14048105),
    ("RAW4", "fleiss", "quadratic", None, 0.86493506, 0.14603361),
    ("RAW4", "bp", "quadratic", None, 0.90151515, 0.11089437),
    ("RAW4", "pa", "quadratic", None, 0.97537879, 0.09061628),
    ("RAW4", "ac2", "identity", range(1, 8), 0.79176019, 0.13611382),
    ("RAW4", "ac2", "quadratic", range(1, 8), 0.96460997, 0.09081907),
    ("BENGERRY", "ac1", "identity", LABELS, 0.66144201, 0.18396215),
    ("BENGERRY", "alpha", "identity", None, 0.66489362, 0.18007143),
    ("BENGERRY", "fleiss", "identity", None, 0.64935065, 0.19129554),
    ("BENGERRY", "bp", "identity", None, 0.65909091, 0.18527195),
    ("BENGERRY", "pa", "identity", None, 0.72727273, 0.15505507),
    ("FLEISS6", "ac1", "identity", None, 0.44480073, 0.08418757),
    ("FLEISS6", "alpha", "identity", None, 0.42043843, 0.08119291),
    ("FLEISS6", "fleiss", "identity", None, 0.4139265, 0.08119291),
    ("FLEISS6", "bp", "identity", None, 0.43888889, 0.08312142),
    ("FLEISS6", "pa", "identity", None, 0.55111111, 0.06649714),
    ("ABSTRACT3", "ac1", "identity", None, 0.84933055, 0.04343519),
    ("ABSTRACT3", "alpha", "identity", None, 0.7972585, 0.05935224),
    ("ABSTRACT3", "scott", "identity", None, 0.7962397, 0.05935224),
    ("ABSTRACT3", "bp", "identity", None, 0.835, 0.04716991),
    ("ABSTRACT3", "pa", "identity", None, 0.89, 0.0314466),
    ("ABSTRACT3", "cohen", "identity", None, 0.7964094, 0.05891072),
    ("ABSTRACT3", "ac2", "quadratic", None, 0.94023688, 0.01801047),
    ("ABSTRACT3", "alpha", "quadratic", None, 0.89264872, 0.03557337),
    ("ABSTRACT3", "fleiss", "quadratic", None, 0.89210926, 0.03557337),
    ("ABSTRACT3", "bp", "quadratic", None, 0.9175, 0.02358495),
    ("ABSTRACT3", "pa", "quadratic", None, 0.9725, 0.00786165),
]


@pytest.mark.parametrize(("ratings", "coefficient", "weights", "categories", "value", "se"), GOLDEN)
def test_published_sets_give_their_values_and_errors(ratings, coefficient, weights, categories, value, se):
    found = agreement(getattr(golden, ratings), coefficient, weights, categories)
    assert (found.value, found.se) == pytest.approx((value, se), abs=6e-9)


@pytest.mark.parametrize(
    ("coefficient", "lower", "p_value"),
    [
        ("ac1", 0.46081335, 2.0872098e-4),
        ("alpha", 0.41906222, 4.594257e-4),
        ("fleiss", 0.42437628, 4.1917304e-4),
        ("bp", 0.45420814, 2.3756087e-4),
        ("pa", 0.54171836, 4.3453726e-5),
    ],
)
def test_gwets_four_raters_give_their_bounds_and_p_values(coefficient, lower, p_value):
    found = agreement(RAW4, coefficient, "identity")
    assert (found.lower, found.upper) == (pytest.approx(lower, abs=1e-8), 1.0)
    assert found.p_value == pytest.approx(p_value, rel=1e-7)


@pytest.mark.parametrize(("coefficient", "se"), [("ac1", 0.18142923), ("fleiss", 0.19454712), ("alpha", 0.19508176)])
def test_errors_over_raters_are_those_of_gwets_jackknife(coefficient, se):
    found = agreement(RAW4, coefficient, "identity", raters="sampled")
    assert found.se == pytest.approx(se, abs=6e-9)
    assert agreement(RAW4, coefficient, "identity").se < found.se


def test_all_raters_there_are_leave_the_error_over_items_alone():
    whole = agreement(RAW4, "ac1", raters="sampled", rater_population=4)
    assert whole.se == pytest.approx(0.14294995, abs=6e-9)


def test_degrees_of_freedom_over_raters_are_satterthwaites():
    by_items, by_raters = 0.14294995**2, 0.11172233**2
    expected = (by_items + by_raters) ** 2 / (by_items**2 / 11 + by_raters**2 / 3)
    assert agreement(RAW4, "ac1", raters="sampled").df == pytest.approx(expected, rel=1e-6)


def reference_of(ratings: pd.DataFrame, **options) -> CAC:
    """irrCAC with the categories seen named: under pandas 3 its own search takes NaN for one."""
    seen = sorted({float(value) for value in ratings.to_numpy().ravel() if not math.isnan(value)})
    return CAC(ratings.copy(), categories=seen, digits=15, **options)


def random_ratings(seed: int, missing: float) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    items, raters, size = draw.integers(6, 40), draw.integers(2, 7), draw.integers(2, 8)
    truth = draw.integers(1, size + 1, (items, 1))
    noise = draw.integers(1, size + 1, (items, raters))
    values = np.where(draw.random((items, raters)) < 0.6, truth, noise).astype(float)
    values[draw.random(values.shape) < missing] = np.nan
    values[:3, :2] = [[1, 1], [size, size], [1, size]]
    return pd.DataFrame(values)


@pytest.mark.parametrize("missing", [0.0, 0.25])
@pytest.mark.parametrize("coefficient", list(NAMES))
@pytest.mark.parametrize("weights", SCHEMES)
def test_random_ratings_agree_with_irrcac(weights, coefficient, missing):
    for seed in range(6):
        ratings = random_ratings(seed, missing)
        reference = getattr(reference_of(ratings, weights=weights), NAMES[coefficient])()["est"]
        found = agreement(ratings, coefficient, weights)
        # irrCAC knows alpha's p-value and Gwet's; Brennan-Prediger's lacks the factor 2.
        factor = 2 if coefficient == "bp" else 1
        assert found.value == pytest.approx(float(reference["coefficient_value"]), abs=1e-9)
        assert found.se == pytest.approx(float(reference["se"]), abs=1e-9)
        assert (found.lower, found.upper) == pytest.approx(reference["confidence_interval"], abs=1e-8)
        assert found.pe == pytest.approx(float(reference["pe"]), abs=1e-9)
        assert found.p_value == pytest.approx(factor * float(reference["p_value"]), abs=1e-8)


@pytest.mark.parametrize("coefficient", list(NAMES))
def test_a_finite_population_agrees_with_irrcac(coefficient):
    ratings = random_ratings(1, 0.3)
    reference = getattr(reference_of(ratings, N=100, confidence_level=0.9), NAMES[coefficient])()["est"]
    found = agreement(ratings, coefficient, "identity", confidence_level=0.9, population_size=100)
    assert found.se == pytest.approx(float(reference["se"]), abs=1e-9)
    assert (found.lower, found.upper) == pytest.approx(reference["confidence_interval"], abs=1e-8)


def test_declared_categories_agree_with_irrcac():
    ratings = random_ratings(4, 0.1)
    reference = CAC(ratings.copy(), weights="ordinal", categories=list(range(1, 11)), digits=15).gwet()["est"]
    found = agreement(ratings, "ac2", "ordinal", range(1, 11))
    assert (found.value, found.se) == pytest.approx((reference["coefficient_value"], reference["se"]), abs=1e-9)


@pytest.mark.parametrize(("weights", "level"), [("identity", "nominal"), ("quadratic", "interval"), ("ratio", "ratio")])
def test_alpha_agrees_with_krippendorffs_where_its_metric_is_the_same(weights, level):
    ratings = random_ratings(7, 0.3)
    expected = krippendorff.alpha(reliability_data=ratings.to_numpy().T, level_of_measurement=level)
    assert agreement(ratings, "alpha", weights).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
def test_cohens_kappa_agrees_with_scikit_learn(weights):
    draw = np.random.default_rng(3)
    first = draw.integers(1, 6, 80)
    second = np.where(draw.random(80) < 0.6, first, draw.integers(1, 6, 80))
    name = None if weights == "identity" else weights
    expected = cohen_kappa_score(first, second, weights=name)
    assert agreement(np.column_stack([first, second]), "cohen", weights).value == pytest.approx(expected, abs=1e-12)


def test_cohens_error_is_the_spread_of_resampled_kappas():
    draw = np.random.default_rng(0)
    ratings = np.array(ABSTRACT3)
    values = [agreement(ratings[draw.integers(0, 100, 100)], "cohen", "identity").value for _ in range(1500)]
    assert np.std(values) == pytest.approx(agreement(ABSTRACT3, "cohen", "identity").se, rel=0.07)


tables = st.integers(2, 5).flatmap(
    lambda raters: st.lists(
        st.lists(st.one_of(st.none(), st.integers(1, 4)), min_size=raters, max_size=raters), min_size=2, max_size=12
    )
)
same = {"nan_ok": True, "abs": 1e-10}


@given(tables, st.sampled_from(["ac2", "alpha", "fleiss", "bp", "pa"]), st.sampled_from(SCHEMES), st.randoms())
def test_the_order_of_items_and_of_raters_says_nothing(ratings, coefficient, weights, random):
    before = agreement(ratings, coefficient, weights, [1, 2, 3, 4])
    columns = random.sample(range(len(ratings[0])), len(ratings[0]))
    shuffled = [[row[column] for column in columns] for row in random.sample(ratings, len(ratings))]
    after = agreement(shuffled, coefficient, weights, [1, 2, 3, 4])
    assert (after.value, after.se, after.p_value) == pytest.approx((before.value, before.se, before.p_value), **same)


@given(tables, st.sampled_from(["ac1", "alpha", "fleiss", "bp", "pa"]), st.permutations([1, 2, 3, 4]))
def test_the_names_of_categories_say_nothing_without_weights(ratings, coefficient, renamed):
    before = agreement(ratings, coefficient, "identity", [1, 2, 3, 4])
    other = [[None if value is None else renamed[value - 1] for value in row] for row in ratings]
    after = agreement(other, coefficient, "identity", [1, 2, 3, 4])
    assert (after.value, after.se) == pytest.approx((before.value, before.se), **same)


@given(tables, st.sampled_from(["ac2", "fleiss", "bp", "pa"]), st.sampled_from(SCHEMES))
def test_every_item_twice_leaves_the_value_and_shrinks_the_error(ratings, coefficient, weights):
    once = agreement(ratings, coefficient, weights, [1, 2, 3, 4])
    twice = agreement(ratings + ratings, coefficient, weights, [1, 2, 3, 4])
    assert twice.value == pytest.approx(once.value, **same)
    if once.n > 1:
        assert twice.se**2 * (2 * once.n - 1) == pytest.approx(once.se**2 * (once.n - 1), nan_ok=True, abs=1e-9)


@given(tables, st.sampled_from(["ac2", "alpha", "fleiss", "bp", "pa"]))
def test_a_row_that_nobody_rated_says_nothing(ratings, coefficient):
    before = agreement(ratings, coefficient, "linear", [1, 2, 3, 4])
    after = agreement([*ratings, [None] * len(ratings[0])], coefficient, "linear", [1, 2, 3, 4])
    assert (after.value, after.se, after.n) == pytest.approx((before.value, before.se, before.n), nan_ok=True)


@given(tables, st.sampled_from(["linear", "quadratic", "radical", "ordinal", "bipolar"]))
def test_scores_may_be_shifted_together(ratings, weights):
    before = agreement(ratings, "ac2", weights, [1, 2, 3, 4])
    moved = [[None if value is None else value + 10.5 for value in row] for row in ratings]
    after = agreement(moved, "ac2", weights, [11.5, 12.5, 13.5, 14.5])
    assert (after.value, after.se) == pytest.approx((before.value, before.se), **same)


@given(tables)
def test_the_interval_holds_the_value_and_ends_at_1(ratings):
    for interval in ("t", "log"):
        found = agreement(ratings, "ac2", "quadratic", [1, 2, 3, 4], interval=interval)
        if not math.isnan(found.lower):
            assert found.lower <= found.value + 1e-12
            assert found.value - 1e-12 <= found.upper <= 1


def test_the_log_interval_is_formed_on_log_of_1_less_the_value():
    plain, log = (agreement(FLEISS6, "ac1", interval=form) for form in ("t", "log"))
    t = (plain.upper - plain.value) / plain.se
    assert (log.value, log.se, log.p_value) == (plain.value, plain.se, plain.p_value)
    reach = t * plain.se / (1 - plain.value)
    bounds = [1 - math.exp(math.log(1 - plain.value) + sign * reach) for sign in (1, -1)]
    assert (log.lower, log.upper) == pytest.approx(bounds, abs=1e-12)


def test_items_with_one_rating_inflate_gwets_error_and_not_the_ratio_forms():
    singles = [[1, None, None, None]] * 5
    with pytest.warns(AgreementWarning, match="6 of 17 items have one rating"):
        inflated = warning_agreement(RAW4 + singles, "pa", "identity")
    assert inflated.se == pytest.approx(0.1811, abs=5e-5)
    assert inflated.value == agreement(RAW4, "pa", "identity").value
    ratio = agreement(RAW4 + singles, "pa", "identity", single_ratings="ratio")
    assert ratio.se < 0.14
    assert ratio.notes == ()


def test_the_ratio_form_is_gwets_where_every_item_has_two_ratings():
    for coefficient in ("ac1", "fleiss", "bp", "pa"):
        plain, ratio = (agreement(FLEISS6, coefficient, "identity", single_ratings=form) for form in ("gwet", "ratio"))
        assert ratio.se == pytest.approx(plain.se, abs=1e-12)


def test_numbers_sort_by_value_and_text_is_not_taken_for_numbers():
    draw = np.random.default_rng(5)
    truth = draw.integers(1, 11, 40)
    numbers = np.column_stack([truth, np.clip(truth + draw.integers(-1, 2, 40), 1, 10)])
    found = agreement(numbers, "ac2", "quadratic", range(1, 11))
    words = [[str(value) for value in row] for row in numbers]
    assert agreement(words, "ac2", "quadratic", [str(k) for k in range(1, 11)]).value == pytest.approx(found.value)
    with pytest.raises(SettingsError, match="need the order of the labels"):
        agreement(words, "ac2", "quadratic")


def test_declared_numbers_may_come_in_any_order_and_as_numpy_integers():
    expected = agreement(RAW4, "ac2", "quadratic")
    assert agreement(RAW4, "ac2", "quadratic", [5, 3, 1, 2, 4]).value == pytest.approx(0.91400072, abs=6e-9)
    assert agreement(RAW4, "ac2", "quadratic", np.arange(1, 6)).value == expected.value


def test_scores_keep_their_distances():
    scores = [[1, 1], [3, 3], [9, 9], [1, 3], [1, 3], [3, 1]]
    ranks = [[{1: 1, 3: 2, 9: 3}[value] for value in row] for row in scores]
    assert agreement(scores, "ac2", "linear").value != pytest.approx(agreement(ranks, "ac2", "linear").value, abs=1e-3)
    labels = [["abc"[value - 1] for value in row] for row in ranks]
    assert agreement(labels, "ac2", "linear", ["a", "b", "c"]).value == agreement(ranks, "ac2", "linear").value


def test_two_categories_make_every_scheme_identity():
    ratings = [[1, 2], [2, 2], [1, 1], [2, 2], [1, 2]]
    values = {round(agreement(ratings, "ac2", weights).value, 12) for weights in SCHEMES}
    assert len(values) == 1


def test_a_custom_matrix_follows_the_declared_order():
    matrix = np.array([[1, 0.5, 0.1], [0.5, 1, 0.7], [0.1, 0.7, 1]])
    ratings = [[1, 2], [2, 2], [3, 1], [3, 3], [2, 3]]
    straight = agreement(ratings, "ac2", matrix, [1, 2, 3])
    turned = agreement(ratings, "ac2", matrix[::-1, ::-1], [3, 2, 1])
    assert (straight.value, straight.weights) == (turned.value, "custom")
    assert straight.pa == pytest.approx((0.5 + 1 + 0.1 + 1 + 0.7) / 5)


def test_ac1_is_unweighted_ac2():
    assert agreement(RAW4, "ac1", "quadratic") == agreement(RAW4, "ac1")
    ac1, ac2 = agreement(RAW4, "ac1"), agreement(RAW4, "ac2", "identity")
    assert (ac1.value, ac1.se, ac1.weights) == (ac2.value, ac2.se, "identity")


@pytest.mark.parametrize("coefficient", ["fleiss", "alpha"])
def test_equal_ratings_leave_nothing_beyond_chance(coefficient):
    found = agreement([[2, 2], [2, 2], [2, 2]], coefficient, "identity", [1, 2, 3])
    assert all(map(math.isnan, (found.value, found.se, found.lower, found.upper, found.p_value)))
    assert "all ratings are the same" in found.notes[0]


@pytest.mark.parametrize("coefficient", ["ac1", "ac2", "bp", "pa"])
def test_equal_ratings_with_declared_categories_agree_without_error(coefficient):
    found = agreement([[2, 2], [2, 2], [2, 2]], coefficient, "quadratic", [1, 2, 3])
    assert (found.value, found.se, found.lower, found.upper) == (1, 0, 1, 1)
    assert math.isnan(found.p_value)


@pytest.mark.parametrize("coefficient", ["ac1", "alpha", "fleiss", "scott", "cohen", "bp", "pa"])
@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        ([[1, 1], [1, 1]], "one category"),
        ([[1, None], [None, 2], [None, None]], "no item has two ratings"),
        ([[None, None]], "there is no rating"),
    ],
)
def test_what_is_undefined_is_nan_and_says_why(coefficient, ratings, reason):
    if coefficient == "cohen" and "two" in reason:
        return  # it refuses a missing rating
    with pytest.warns(AgreementWarning, match=reason):
        found = warning_agreement(ratings, coefficient, "identity")
    assert math.isnan(found.value)
    assert math.isnan(found.p_value)
    assert found.as_row()["value"] is None


def test_one_rater_is_undefined():
    assert math.isnan(agreement([[1], [2], [3]], "ac1").value)


def test_one_item_has_a_value_and_no_error():
    found = agreement([[1, 1, 2]], "ac1")
    assert found.value == pytest.approx((1 / 3 - 4 / 9) / (1 - 4 / 9))
    assert math.isnan(found.se)
    assert found.notes == ("one item has no standard error",)


def test_ratings_that_are_coded_already_are_taken_as_they_are():
    coded = code_ratings(RAW4, range(1, 6))
    for weights in ("quadratic", np.eye(5)):
        assert agreement(coded, "ac2", weights) == agreement(RAW4, "ac2", weights, range(1, 6))


@pytest.mark.parametrize("missing", [None, math.nan, ""])
def test_nothing_nan_and_empty_text_are_missing(missing):
    labels = [["a", "a", missing], ["b", "a", "b"], ["b", "b", "b"]]
    expected = agreement([[1, 1, None], [2, 1, 2], [2, 2, 2]], "ac1")
    assert agreement(labels, "ac1").se == expected.se


@pytest.mark.parametrize(
    "kind",
    [
        lambda r: np.array(r, dtype=np.float32),
        pd.DataFrame,
        lambda r: pd.DataFrame(r).astype("Int64"),
        lambda r: pd.DataFrame(r).T.to_numpy().T,
        lambda r: np.array(r, dtype=object),
        np.ma.masked_invalid,
    ],
)
def test_arrays_and_data_frames_are_read_as_lists_are(kind):
    ratings = [[1, 2, np.nan], [2, 2, 2], [3, 3, 1], [4, 4, 4]]
    found, expected = agreement(kind(ratings), "ac2", "linear"), agreement(ratings, "ac2", "linear")
    assert (found.value, found.se) == (expected.value, expected.se)


def test_a_rating_outside_the_declared_categories_is_refused_with_row_and_value():
    with pytest.raises(DataError, match=r"ratings:2: field 'rater 3': 9 is not one of the declared categories 1, 2, 3"):
        agreement([[1, 2, 3], [1, 2, 9]], "ac2", "linear", [1, 2, 3])
    with pytest.raises(DataError, match=r"ratings:1: field 'rater 2': \"x\" is not one of"):
        agreement([["a", "x"], ["a", "b"]], "ac1", categories=["a", "b"])


@pytest.mark.parametrize(
    ("ratings", "problem"),
    [([[1, "a"], [2, "b"]], "side by side"), ([[1, 2], [1, math.inf]], "infinite"), ([[1, 2], [1]], "different lengths")],
)
def test_ratings_that_cannot_be_are_refused(ratings, problem):
    with pytest.raises(DataError, match=problem):
        agreement(ratings, "ac1")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"coefficient": "ac3"}, 'Did you mean "ac1"|Did you mean "ac2"'),
        ({"weights": "quadratik"}, 'Did you mean "quadratic"'),
        ({"confidence_level": 95}, "between 0 and 1"),
        ({"population_size": 3}, "fewer than the 12 items"),
        ({"categories": [1, 1, 2]}, "declared twice"),
        ({"categories": [1, "b"]}, "all numbers or all labels"),
        ({"coefficient": "cohen"}, "is of two raters, and there are 4"),
        ({"coefficient": "scott"}, "Use fleiss"),
        ({"raters": "sampled", "rater_population": 2}, "fewer than the 4 raters"),
        ({"weights": "ratio", "categories": [0, 1, 2, 3, 4, 5]}, "scores above 0"),
        ({"weights": np.eye(3)}, "there are 5 categories"),
        ({"raters": "random"}, 'raters: "random" is not one of fixed, sampled'),
        ({"interval": "logit"}, 'interval: "logit" is not one of t, log'),
        ({"single_ratings": "Ratio"}, 'single_ratings: "Ratio" is not one of gwet, ratio'),
    ],
)
def test_settings_that_cannot_be_are_refused(options, problem):
    with pytest.raises(SettingsError, match=problem):
        agreement(RAW4, **options)


def test_cohens_kappa_refuses_a_missing_rating_by_its_row():
    with pytest.raises(DataError, match=r"ratings:2: .*one is missing"):
        agreement([[1, 1], [2, None], [1, 2]], "cohen", "identity")


def test_two_raters_are_no_sample_of_raters():
    with pytest.raises(SettingsError, match="three raters or more"):
        agreement(ABSTRACT3, "ac1", raters="sampled")


def test_many_categories_and_raters_are_counted_as_few_are():
    draw = np.random.default_rng(0)
    ratings = pd.DataFrame(draw.integers(1, 41, (30, 6)).astype(float))
    reference = CAC(ratings.copy(), weights="quadratic", digits=15).gwet()["est"]
    found = agreement(ratings, "ac2", "quadratic")
    assert (found.value, found.se) == pytest.approx((reference["coefficient_value"], reference["se"]), abs=1e-9)


def test_measurements_are_no_categories():
    with pytest.raises(SettingsError, match="measurements"):
        agreement(np.random.default_rng(0).random((600, 2)), "ac2", "quadratic")


def test_a_million_items_take_a_fraction_of_a_second():
    codes = np.random.default_rng(0).integers(1, 8, (1_000_000, 5))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        agreement(codes, "ac2", "quadratic")
        times.append(time.perf_counter() - began)
    assert min(times) < 0.3  # .05 s on a quiet machine; tests share theirs


def test_agreement_needs_no_torch():
    code = (
        "import sys; from paddock.evaluate.agreement import agreement; agreement([[1, 2], [2, 2], [1, 1]], 'ac1')\n"
        "from paddock.evaluate import comparison, bradley_terry, rating_tables, agreement_report\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False False\n"
