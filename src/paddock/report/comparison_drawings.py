"""Drawings of comparisons: wins, ties and losses as bars, and versions' progress as paths over two win rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from paddock.report.drawings import STROKES
from paddock.report.figures import ACCENT, FAINT, INCHES, INK, MUTED, ROUND_STEPS, STYLE, to_svg
from paddock.report.labels import Label, place_labels
from paddock.report.wording import percent

ROW_INCHES = 0.3
LEAST_WRITTEN = 0.08  # a narrower part of a bar has no room for its number


@dataclass(frozen=True)
class Look:
    """How bars are drawn: the drawing's width in inches; of each part its colour, opacity, and its number's colour; and the
    colour of the intervals."""

    width: float
    parts: tuple[tuple[str, str, float, str], ...]
    interval: str


ON_PAGE = Look(INCHES[0], (("win", ACCENT, 0.85, INK), ("tie", MUTED, 0.25, INK), ("loss", INK, 0.55, INK)), ACCENT)


@dataclass(frozen=True)
class Place:
    """A version in the plane: its name, and an estimate with its interval's bounds on each axis."""

    name: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]


def shares_figure(name: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The bars as a page holds them."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        return to_svg(draw_shares(rows, ON_PAGE), name)


def draw_shares(rows: Sequence[tuple[str, Mapping[str, Any]]], look: Look) -> Figure:
    """Bars of wins, ties and losses, a row a pair or a group (Figures 12, 30, 31); a line is the interval of the wins."""
    figure = Figure(figsize=(look.width, 0.8 + ROW_INCHES * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    begin = [0.0] * len(rows)
    for part, colour, alpha, ink in look.parts:
        shares = [row[part]["estimate"] for _, row in rows]
        axes.barh(range(len(rows)), shares, left=begin, color=colour, alpha=alpha, height=0.62, label=part, linewidth=0)
        for place, (left, share) in enumerate(zip(begin, shares, strict=True)):
            if share >= LEAST_WRITTEN:
                axes.text(left + share / 2, place, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=ink)
        begin = [left + share for left, share in zip(begin, shares, strict=True)]
    for place, (_, row) in enumerate(rows):
        if row["win"]["lower"] is not None:
            axes.plot((row["win"]["lower"], row["win"]["upper"]), (place + 0.4,) * 2, color=look.interval, linewidth=1.4)
    axes.set_yticks(range(len(rows)), labels=[label for label, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(_as_per_cent))
    axes.spines[["top", "left"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=3, borderpad=0, frameon=False)
    return figure


def path_figure(name: str, paths: Mapping[str, Sequence[Place]], x_label: str, y_label: str) -> str:
    """The places of versions by two win rates, a path a judge, with whiskers (Figure 11). Even is one half on both axes."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(INCHES[0], INCHES[0]), layout="constrained")
        axes = figure.add_subplot()
        for draw_even in (axes.axvline, axes.axhline):
            draw_even(0.5, color=FAINT, linewidth=1, linestyle="--")
        for (label, places), (colour, dashes) in zip(paths.items(), STROKES, strict=False):
            x, y = ([getattr(place, side)[0] for place in places] for side in "xy")
            axes.plot(x, y, color=colour, ls=dashes, lw=1.2, marker="o", ms=3.5, label=label, zorder=3)
            for place in places:
                axes.plot(place.x[1:], (place.y[0],) * 2, color=colour, lw=0.7, alpha=0.4)
                axes.plot((place.x[0],) * 2, place.y[1:], color=colour, lw=0.7, alpha=0.4)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=ROUND_STEPS))
            axis.set_major_formatter(FuncFormatter(_as_per_cent))
        axes.spines["top"].set_visible(False)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(paths) > 1:
            figure.legend(loc="outside upper left", ncols=len(paths), borderpad=0)
        labels = [
            Label(place.name, (place.x[0], place.y[0]), colour)
            for places, (colour, _) in zip(paths.values(), STROKES, strict=False)
            for place in places
        ]
        place_labels(figure, axes, labels)
        return to_svg(figure, name)


def _as_per_cent(value: float, _: int) -> str:
    return percent(value).replace(".0%", "%")
