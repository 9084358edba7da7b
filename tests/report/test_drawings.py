"""Drawings of the alignment: what they show, in the page's own colours."""

import re

import numpy as np
import pytest

from paddock.report.drawings import Line, attention_figure, line_figure, reliability_figure, score_histogram
from paddock.report.figures import CSS_COLOURS

BEST = Line("best", [1, 2, 4], [0.5, 0.6, 0.7], [(0.4, 0.6), (0.5, 0.7), (0.6, 0.8)], dots=True)
MEDIAN = Line("median", [1, 2, 4], [0.5, 0.5, 0.5])
SCORES = {"better": ([0.9, 0.8], [0.1, 0.9]), "slightly": ([0.6], [0.4])}
BINS = [(0.55, 0.5, 10), (0.95, 0.9, 40)]


def labels(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def drawn(name: str) -> list[str]:
    """Each kind of drawing, of the same data."""
    lines = line_figure(name, [BEST, MEDIAN, MEDIAN, MEDIAN], "replies", "reward", shares=True, ends=("before", "after"))
    attention = attention_figure(name, np.tril(np.full((4, 4), 0.5, np.float32)), 8, (1, 3), 1.0)
    return [lines, score_histogram(name, SCORES), reliability_figure(name, BINS), attention]


@pytest.mark.parametrize("kind", range(4))
def test_colours_are_the_pages_own(kind):
    svg = drawn("a")[kind]
    assert not [stand_in for stand_in in CSS_COLOURS if stand_in in svg]
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {"none", *CSS_COLOURS.values()}


@pytest.mark.parametrize("kind", range(4))
def test_equal_data_give_equal_bytes_but_for_their_ids(kind):
    first, again, other = (drawn(name)[kind] for name in ("a", "a", "b"))
    assert first == again
    assert not set(re.findall(r'id="([^"]*)"', first)) & set(re.findall(r'id="([^"]*)"', other))


def test_lines_are_named_where_there_are_several():
    assert {"best", "median", "replies", "reward"} <= set(labels(line_figure("a", [BEST, MEDIAN], "replies", "reward")))
    assert "best" not in labels(line_figure("a", [BEST], "replies", "reward"))


def test_the_names_of_lines_are_text():
    svg = line_figure("a", [Line("<b> $x$", [1, 2], [1, 2]), MEDIAN], "x", "y")
    assert "&lt;b&gt; $x$" in svg


def test_an_interval_is_a_band():
    with_band, without = (line_figure("a", lines, "x", "y") for lines in ([BEST], [MEDIAN]))
    assert ("FillBetweenPolyCollection" in with_band, "FillBetweenPolyCollection" in without) == (True, False)


def test_shares_are_written_as_per_cent():
    assert "70%" in labels(line_figure("a", [MEDIAN, BEST], "x", "y", shares=True))
    assert not [text for text in labels(line_figure("a", [MEDIAN, BEST], "x", "y")) if "%" in text]


def test_the_ends_of_the_first_line_are_named():
    found = labels(line_figure("a", [BEST, MEDIAN], "x", "y", ends=("before", "step 40")))
    assert (found.count("before"), found.count("step 40")) == (1, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_histogram_has_a_panel_a_group(count):
    panels = {f"group {place}": ([0.5], [0.5]) for place in range(count)}
    assert [text for text in labels(score_histogram("a", panels)) if text.startswith("group")] == list(panels)


def test_a_histogram_is_of_shares_within_the_chosen_and_the_rejected():
    # Two chosen replies in bins of their own, four rejected ones in one bin: the highest bar is 100%.
    found = labels(score_histogram("a", {"all": ([0.11, 0.91], [0.51, 0.52, 0.53, 0.54])}))
    assert max(float(text.removesuffix("%")) for text in found if text.endswith("%")) == 100


def shades(picture: list[list[float]]) -> list[tuple[str, int]]:
    """The opacity of each shade that is drawn, and of how many boxes its shape is made."""
    svg = attention_figure("a", np.array(picture, np.float32), len(picture), (0, 1), 1.0)
    found = re.findall(r'<path d="([^"]*)"[^>]*style="fill: var\(--accent\);[^"]*?opacity: ([0-9.]+)', svg)
    return [(opacity, path.count("z")) for path, opacity in found]


def test_attention_is_drawn_in_shades_each_one_shape_of_runs_of_like_cells():
    assert shades([[0.75, 0, 0], [0.5, 0.45, 0], [0.7, 0, 0.75]]) == [("0.5", 1), ("0.75", 3)]


def test_no_attention_is_drawn_as_nothing():
    assert shades([[0.0, 0], [0, 0]]) == []
