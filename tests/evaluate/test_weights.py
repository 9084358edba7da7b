"""The schemes' rows as published, and matrices that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from irrCAC.weights import Weights

from paddock.errors import SettingsError
from paddock.evaluate.weights import SCHEMES, weight_matrix


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("identity", [1, 0, 0, 0, 0]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("quadratic", [1, 0.9375, 0.75, 0.4375, 0]),
        ("ordinal", [1, 0.9, 0.7, 0.4, 0]),
        ("radical", [1, 0.5, 0.292893, 0.133975, 0]),
        ("ratio", [1, 0.75, 0.4375, 0.19, 0]),
        ("circular", [1, 0.618034, 0, 0, 0.618034]),
        ("bipolar", [1, 0.857143, 0.666667, 0.4, 0]),
    ],
)
def test_the_first_row_of_five_scores_is_the_published_one(name, row):
    assert weight_matrix(name, [1, 2, 3, 4, 5])[0] == pytest.approx(row, abs=1e-6)


@given(st.sets(st.integers(1, 50), min_size=2, max_size=8), st.sampled_from(SCHEMES))
def test_weights_agree_with_irrcac_on_any_scores(scores, name):
    ordered = sorted(scores)
    assert weight_matrix(name, ordered) == pytest.approx(np.asarray(Weights(ordered)[name]), abs=1e-12)


@given(st.sets(st.integers(1, 50), min_size=1, max_size=8), st.sampled_from(SCHEMES))
def test_weights_are_symmetric_within_0_to_1_and_1_on_the_diagonal(scores, name):
    matrix = weight_matrix(name, sorted(scores))
    assert np.array_equal(matrix, matrix.T)
    assert np.all(np.diag(matrix) == 1)
    assert matrix.min() >= 0
    assert matrix.max() <= 1


@pytest.mark.parametrize("lowest", [0, -1])
def test_ratio_weights_refuse_scores_that_are_not_above_0(lowest):
    with pytest.raises(SettingsError, match="scores above 0"):
        weight_matrix("ratio", [lowest, 1, 2])


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        ([[1, 0.5], [0.4, 1]], "not symmetric"),
        ([[0.9, 0], [0, 1]], "diagonal"),
        ([[1, 1.2], [1.2, 1]], "outside 0 to 1"),
        ([[1, np.nan], [np.nan, 1]], "outside 0 to 1"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "there are 2 categories"),
    ],
)
def test_a_matrix_that_cannot_be_is_refused(matrix, problem):
    with pytest.raises(SettingsError, match=problem):
        weight_matrix(matrix, [1, 2])


def test_an_unknown_scheme_is_answered_with_the_nearest():
    with pytest.raises(SettingsError, match='Did you mean "linear"'):
        weight_matrix("liner", [1, 2])
