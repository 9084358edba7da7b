"""Numbers and names as the page writes them."""

import math

import pytest

from paddock.report.wording import (
    compact,
    finite,
    interval_cell,
    mass,
    number,
    percent,
    scientific,
    sentence,
    signed,
    size,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (950, "950"),
        (12_345, "12.3k"),
        (573_440, "573k"),
        (4_505_600, "4.5M"),
        (300_000, "300k"),
        (2e12, "2T"),
        (7e9, "7B"),
        (0, "0"),
    ],
)
def test_compact_counts(value, text):
    assert compact(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_234_567, "1,234,567"),
        (0.0641666, "0.06417"),
        (1.0, "1"),
        (3e-9, "3.0 × 10⁻⁹"),
        (1234.5678, "1,235"),
        (0.0, "0"),
        (math.nan, "–"),
        (None, "–"),
        (True, "yes"),
        ("sort", "sort"),
    ],
)
def test_numbers_of_unknown_kind(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("grams", "text"),
    [(3.1e7, "31 t"), (1500, "1.5 kg"), (310, "310 g"), (0.741, "741 mg"), (0.0042, "4.2 mg"), (3e-6, "3 µg")],
)
def test_masses(grams, text):
    assert mass(grams) == text


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 B"), (18_000, "18.0 kB"), (4_200_000, "4.2 MB"), (13_476_800_000, "13.5 GB")]
)
def test_sizes(count, text):
    assert size(count) == text


def test_scientific_numbers_have_raised_exponents():
    assert scientific(7.4113e-7, 3) == "7.41 × 10⁻⁷"


def test_a_share_is_per_cent():
    assert percent(0.6722) == "67.2%"


@pytest.mark.parametrize(("value", "text"), [(0.1132, "+0.113"), (-0.05, "−0.050"), (0.0, "+0.000")])
def test_changes_have_a_sign(value, text):
    assert signed(value) == text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ({"estimate": 0.672, "lower": 0.622, "upper": 0.719, "n": 360}, "67.2%\n62.2 to 71.9%"),
        ({"estimate": 0.672, "lower": None, "upper": None, "n": 1}, "67.2%"),
        ({"estimate": None, "lower": 0.0, "upper": 1.0, "n": 0}, "–"),
        (None, "–"),
        ("text", "–"),
    ],
)
def test_a_figure_stands_above_its_interval(interval, text):
    assert interval_cell(interval) == text


def test_only_finite_numbers_are_numbers():
    assert [finite(value) for value in (1, 2.5, True, math.inf, math.nan, "3", None)] == [
        1.0,
        2.5,
        None,
        None,
        None,
        None,
        None,
    ]


def test_keys_become_words():
    assert sentence("train_loss") == "Train loss"


def test_settings_become_one_line():
    assert [value_text(value) for value in ("a b", None, [1, "é"])] == ["a b", "null", '[1, "é"]']
