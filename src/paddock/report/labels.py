"""Names beside points of a drawing, such that each is read, and read as that of its own point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, radians, sin

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

DISTANCES = (5.0, 13.0, 22.0, 32.0, 43.0, 55.0)  # points from the dot to the name; from the second on a line leads there
ANGLES = (45, 135, -45, -135, 0, 180, 90, -90, 22, 158, -22, -158, 67, 113, -67, -113)  # degrees; the first of equals
DOT, FONT = 3.0, 7.0  # points: from a dot's centre to what it keeps free, and the size of a name
NEAR = 9.0  # points from another dot within which a name seems to be that dot's

# What counts against a place, beside its distance in points.
COVERED = 20.0  # a square point that something else covers too, or that is outside; a point of leading line over a name
CROSSED = 2.0  # a point of a line under the name
MISTAKEN = 4.0  # a point that the name is nearer to another dot than NEAR

Pixels = NDArray[np.float64]
"""Places (n, 2), here in points of the page."""


@dataclass(frozen=True)
class Label:
    """A name, the point that it is of, in data, and its colour."""

    name: str
    point: tuple[float, float]
    colour: str


@dataclass(frozen=True)
class _Spot:
    """Where a name may stand: its box, and the line that leads there from the dot (n, 2), none where it is near."""

    box: Bbox
    distance: float
    lead: Pixels


def place_labels(figure: Figure, axes: Axes, labels: Sequence[Label]) -> None:
    """Write each name, in their order, where least counts against it: greedily, and the nearest place of equals.

    Lines are those that the axes hold. Limits of the axes have to be as they will be drawn. Equal data give equal places.
    """
    figure.draw_without_rendering()  # so that the layout is known
    points = 72 / figure.dpi  # a pixel
    frame = _scaled(axes.get_window_extent(), points)
    dots = [points * axes.transData.transform(label.point) for label in labels]
    lines = [_along(points * line.get_transform().transform(line.get_xydata())) for line in axes.lines]
    written: list[Bbox] = []
    for label, dot in zip(labels, dots, strict=True):
        text = axes.annotate(
            label.name, label.point, (0, 0), textcoords="offset points", fontsize=FONT, color=label.colour, zorder=4
        )
        text.set_in_layout(False)
        others = [other for other in dots if hypot(*(other - dot)) > DOT]
        drawn = np.concatenate(lines)
        size = _scaled(text.get_window_extent(), points)
        spot = min(_spots(dot, size.width, size.height), key=lambda one: _against(one, written, others, drawn, frame))
        text.set_position((spot.box.x0 - dot[0], spot.box.y0 - dot[1]))
        written.append(spot.box)
        if len(spot.lead):
            lines.append(spot.lead)
            axes.annotate(
                "",
                label.point,
                tuple(spot.lead[-1] - dot),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": label.colour, "lw": 0.5, "alpha": 0.7, "shrinkA": 0, "shrinkB": 0},
            ).set_in_layout(False)


def _spots(dot: Pixels, width: float, height: float) -> Iterator[_Spot]:
    """Where a name of this size may stand, nearest first."""
    for distance in DISTANCES:
        for angle in ANGLES:
            x, y = cos(radians(angle)), sin(radians(angle))
            # The side of the name that faces the dot stands at the distance.
            left = x * distance - width / 2 * (1 - np.sign(round(x, 9)))
            low = y * distance - height / 2 * (1 - np.sign(round(y, 9)))
            box = Bbox.from_bounds(dot[0] + left, dot[1] + low, width, height)
            end = np.clip(dot, box.min, box.max)
            yield _Spot(box, distance, _along(np.array([dot, end])) if distance > DISTANCES[0] else np.empty((0, 2)))


def _against(spot: _Spot, written: Sequence[Bbox], dots: Sequence[Pixels], lines: Pixels, frame: Bbox) -> float:
    """What counts against a spot: names that are there, dots of others, lines, what is outside, and the distance."""
    box = spot.box
    inside = Bbox.intersection(box, frame)
    covered = box.width * box.height - (inside.width * inside.height if inside else 0.0)
    for other in written:
        shared = Bbox.intersection(box, other)
        covered += (shared.width * shared.height if shared else 0.0) + _under(other, spot.lead)
    gaps = [hypot(*(dot - np.clip(dot, box.min, box.max))) for dot in dots]
    mistaken = sum(max(0.0, NEAR - gap) for gap in gaps)
    covered += sum(max(0.0, DOT - gap) ** 2 for gap in gaps)
    return spot.distance + COVERED * covered + CROSSED * _under(box, lines) + MISTAKEN * mistaken


def _under(box: Bbox, line: Pixels) -> int:
    """How many places of a line lie under a name."""
    return int(((box.min <= line) & (line <= box.max)).all(axis=1).sum())


def _along(corners: Pixels) -> Pixels:
    """Places about a point apart on the line through `corners` (m, 2)."""
    pieces = [
        begin + (end - begin) * np.linspace(0, 1, 2 + int(hypot(*(end - begin))))[:, None]
        for begin, end in pairwise(corners)
    ]
    return np.concatenate([corners[:0], *pieces])


def _scaled(box: Bbox, factor: float) -> Bbox:
    return Bbox(box.get_points() * factor)
