"""Drawings: what they show, and that they fit into a page."""

import re

import numpy as np
from matplotlib.figure import Figure

from paddock.report.figures import CSS_COLOURS, POINTS_DRAWN, Curve, averaged, loss_figure, to_svg

NOTHING = Curve(np.empty(0), np.empty(0), np.empty(0))


def falling(high: float, low: float, count: int = 50) -> Curve:
    steps = np.arange(1, count + 1, dtype=float)
    return Curve(steps, steps * 100, np.linspace(high, low, count))


def labels(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_colours_are_the_pages_own():
    svg = loss_figure("a", falling(3, 2), falling(3.1, 2.1, 5))
    assert not [stand_in for stand_in in CSS_COLOURS if stand_in in svg]
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {"none", *CSS_COLOURS.values()}
    assert "var(--accent)" in svg


def test_ids_of_two_drawings_of_the_same_data_differ():
    first, second = (set(re.findall(r'id="([^"]*)"', loss_figure(name, falling(3, 2), NOTHING))) for name in ("a", "b"))
    assert first
    assert not first & second


def test_references_within_a_drawing_hold():
    svg = loss_figure("a", falling(3, 2), falling(3.1, 2.1, 5))
    used = set(re.findall(r'xlink:href="#([^"]*)"', svg)) | set(re.findall(r"url\(#([^)]*)\)", svg))
    assert used
    assert used <= set(re.findall(r'id="([^"]*)"', svg))


def test_equal_data_give_equal_bytes():
    assert loss_figure("a", falling(3, 2), NOTHING) == loss_figure("a", falling(3, 2), NOTHING)


def test_a_drawing_brings_no_style_for_the_rest_of_the_page():
    assert "<style" not in loss_figure("a", falling(3, 2), NOTHING)


def test_a_step_stands_above_its_tokens():
    svg = loss_figure("a", falling(3, 2, count=50), NOTHING)  # 50 steps of 100 tokens
    assert {"tokens", "steps", "loss (nats a token)"} <= set(labels(svg))
    places = {text: float(x) for x, text in re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>([^<]*)</text>', svg)}
    assert abs(places["20"] - places["2k"]) < 1e-3
    assert abs(places["40"] - places["4k"]) < 1e-3
    assert places["40"] > places["20"]


def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_scale():
    # On the logarithmic scale the ticks are 1.5, 2, 3, 4, 6; on the linear one they are evenly spaced.
    assert {"1.5", "2", "3", "4", "6"} <= set(labels(loss_figure("a", falling(6.9, 1.4), NOTHING)))
    assert "1.5" not in labels(loss_figure("a", falling(2.1, 0.9), NOTHING))


def test_text_of_people_is_text_in_a_drawing():
    figure = Figure()
    figure.text(0.5, 0.5, "<script> & $x$", parse_math=False)
    assert "&lt;script&gt; &amp; $x$" in to_svg(figure, "a")


def test_a_short_curve_is_drawn_as_it_is():
    curve = falling(3, 2)
    assert averaged(curve) is curve


def test_a_long_curve_is_drawn_by_means_of_neighbours():
    steps = np.arange(1.0, 2 * POINTS_DRAWN + 2)  # an odd point is left over: groups of 3, the last of 1
    thin = averaged(Curve(steps, steps * 10, steps))
    assert len(thin.steps) == 201
    assert thin.losses[0] == 2.0
    assert (thin.steps[0], thin.counts[0]) == (3.0, 30.0)
    assert (thin.losses[-1], thin.steps[-1]) == (601.0, 601.0)
