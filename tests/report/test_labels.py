"""Names beside points that lie close: apart, within the axes, and each nearest to its own point or led to it."""

from __future__ import annotations

from itertools import combinations
from math import hypot

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from paddock.report.labels import Label, place_labels

CLUSTER = [(0.700, 0.700), (0.702, 0.702), (0.71, 0.69), (0.72, 0.705), (0.705, 0.71), (0.715, 0.7), (0.71, 0.715)]
FAR = [(0.2, 0.2), (0.3, 0.6), (0.6, 0.3), (0.8, 0.8)]


def drawn(points, size: float = 4.0):
    """A figure with a path through the points, and names beside them."""
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(0.1, 0.9)
    axes.set_ylim(0.1, 0.9)
    axes.plot(*np.transpose(points), marker="o")
    place_labels(figure, axes, [Label(f"V{n} PPO", point, "black") for n, point in enumerate(points)])
    figure.draw_without_rendering()
    names = [text for text in axes.texts if text.get_text()]
    leads = [text for text in axes.texts if not text.get_text()]
    return axes, names, leads


def gap(box: Bbox, place) -> float:
    return hypot(*(place - np.clip(place, box.min, box.max)))


@pytest.mark.parametrize("points", [FAR, CLUSTER, CLUSTER + FAR], ids=["far apart", "close", "both"])
def test_no_name_lies_on_another_on_a_point_or_outside(points):
    axes, names, _ = drawn(points)
    boxes = [name.get_window_extent() for name in names]
    assert [name.get_text() for name in names] == [f"V{n} PPO" for n in range(len(points))]
    for first, second in combinations(boxes, 2):
        assert Bbox.intersection(first, second) is None
    frame = axes.get_window_extent()
    for box in boxes:
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
        assert all(gap(box, axes.transData.transform(point)) > 3 for point in points)


def test_a_name_is_nearest_to_its_own_point_or_a_line_leads_there():
    axes, names, leads = drawn(CLUSTER + FAR)
    dots = [axes.transData.transform(point) for point in CLUSTER + FAR]
    led = {tuple(lead.xy) for lead in leads}
    for name, dot in zip(names, dots, strict=True):
        gaps = [gap(name.get_window_extent(), other) for other in dots]
        own = gap(name.get_window_extent(), dot)
        assert own == min(gaps) or tuple(name.xy) in led
    assert len(led) < len(CLUSTER + FAR)


def test_points_that_lie_apart_have_their_names_at_hand_and_no_lines():
    _, names, leads = drawn(FAR)
    assert leads == []
    assert all(hypot(*name.get_position()) < 40 for name in names)


def test_equal_data_have_equal_places():
    assert [name.get_position() for name in drawn(CLUSTER)[1]] == [name.get_position() for name in drawn(CLUSTER)[1]]
