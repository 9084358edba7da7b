"""Gwet's published memberships."""

from __future__ import annotations

import math

import pytest

from paddock.errors import SettingsError
from paddock.evaluate.benchmark_scale import SCALES, benchmark


@pytest.mark.parametrize(
    ("value", "se", "scale", "cumulative", "level"),
    [
        (0.67, 0.15, "altman", [0.18168, 0.67511, 0.96356, 0.99912, 1], "Moderate"),
        (0.77544, 0.14295, "altman", [0.39674, 0.88336, 0.99542, 0.99997, 1], "Moderate"),
        (0.77544, 0.14295, "fleiss", [0.54414, 0.99542, 1], "Intermediate to Good"),
    ],
)
def test_gwets_examples_reach_their_level(value, se, scale, cumulative, level):
    found, levels = benchmark(value, se, scale)
    assert found == level
    assert [entry.cumulative for entry in levels] == pytest.approx(cumulative, abs=6e-6)


@pytest.mark.parametrize(("value", "level"), [(1.0, "Almost Perfect"), (0.5, "Moderate"), (0.0, "Slight"), (-0.4, "Poor")])
def test_without_error_it_is_the_level_that_holds_the_value(value, level):
    assert benchmark(value, 0.0, "landis-koch")[0] == level


@pytest.mark.parametrize(("value", "se"), [(math.nan, 0.1), (0.5, math.nan)])
def test_what_is_unknown_has_no_level(value, se):
    assert benchmark(value, se) == (None, [])


@pytest.mark.parametrize("scale", list(SCALES))
def test_levels_go_from_1_down_to_minus_1_without_a_gap(scale):
    _, levels = benchmark(0.3, 0.2, scale)
    assert (levels[0].upper, levels[-1].lower, levels[-1].cumulative) == (1.0, -1.0, 1.0)
    assert [level.lower for level in levels[:-1]] == [level.upper for level in levels[1:]]


def test_an_unknown_scale_is_answered_with_the_nearest():
    with pytest.raises(SettingsError, match='Did you mean "altman"'):
        benchmark(0.5, 0.1, "altmann")
