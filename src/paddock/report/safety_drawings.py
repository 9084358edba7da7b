"""Drawings of safety tuning: dots of two rewards, the spread of rewards, and figures by share of the safety data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from paddock.report.drawings import STROKES, Line
from paddock.report.figures import ACCENT, FAINT, INCHES, INK, MUTED, STYLE, to_svg
from paddock.report.wording import percent

DOT = 5.0  # square points
BOX_WIDTH = 0.45


@dataclass(frozen=True)
class Dots:
    """Points (x, y) with their name; `marked` ones are drawn in full colour."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marked: bool = True


def scatter_figure(name: str, dots: Sequence[Dots], x_label: str, y_label: str, *, diagonal: bool) -> str:
    """Dots on scales of rewards: x from 0 to 1; y too, and the diagonal, or `diagonal` False: a change, and its zero."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(INCHES[0], INCHES[0] * 0.8), layout="constrained")
        axes = figure.add_subplot()
        for some in dots:
            colour = ACCENT if some.marked else MUTED
            axes.scatter(some.x, some.y, s=DOT, color=colour, alpha=0.55, linewidth=0, label=some.label)
        axes.plot((0, 1), (0, 1) if diagonal else (0, 0), color=FAINT, linestyle="--", linewidth=1.2)
        axes.set_xlim(-0.02, 1.02)
        if diagonal:
            axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(dots) > 1:
            figure.legend(loc="outside upper left", ncols=2, borderpad=0)
        return to_svg(figure, name)


def box_figure(name: str, boxes: Mapping[str, Mapping[str, float]], y_label: str) -> str:
    """A box a kind of answer: from quantiles .25 to .75 with a line at .5, whiskers to .05 and .95 (Figure 16a)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        for place, quantiles in enumerate(boxes.values()):
            low, first, middle, third, high = (quantiles[key] for key in ("0.05", "0.25", "0.5", "0.75", "0.95"))
            axes.bar(place, third - first, bottom=first, width=BOX_WIDTH, color=ACCENT, alpha=0.25, linewidth=0)
            axes.hlines(middle, place - BOX_WIDTH / 2, place + BOX_WIDTH / 2, color=ACCENT, linewidth=1.8)
            axes.vlines((place, place), (low, third), (first, high), color=INK, linewidth=1)
        axes.set_xticks(range(len(boxes)), list(boxes))
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel(y_label)
        return to_svg(figure, name)


def share_figure(name: str, lines: Sequence[Line], shares: Sequence[float], y_label: str, *, per_cent: bool) -> str:
    """Lines over the shares of the data, which stand at equal distances; `x` of a line are places among them (Figure 15)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        for place, line in enumerate(lines):
            colour, dashes = STROKES[place % len(STROKES)]
            axes.plot(line.x, line.y, color=colour, ls=dashes, lw=1.4, marker="o", ms=3, label=line.label)
            if line.bounds:
                axes.fill_between(line.x, *np.transpose(line.bounds), color=colour, alpha=0.15, linewidth=0)
        axes.set_xticks(range(len(shares)), [f"{100 * share:g}%" for share in shares])
        axes.set_xlabel("share of the safety data")
        axes.set_ylabel(y_label)
        if per_cent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value).replace(".0%", "%")))
            axes.set_ylim(bottom=0)
        if len(lines) > 1:
            figure.legend(loc="outside upper left", ncols=2, borderpad=0)
        return to_svg(figure, name)


def ridge_figure(name: str, histograms: Mapping[str, Sequence[int]], x_label: str) -> str:
    """Histograms of scores from 0 to 1 one above the other, each to its own height."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(INCHES[0], 0.8 + 0.4 * len(histograms)), layout="constrained")
        axes = figure.add_subplot()
        for place, counts in enumerate(histograms.values()):
            heights = np.asarray(counts, dtype=np.float64) / max(*counts, 1) * 0.85
            base = len(histograms) - 1 - place
            edges = np.linspace(0, 1, len(counts) + 1)
            axes.stairs(base + heights, edges, baseline=base, fill=True, color=ACCENT, alpha=0.45)
            axes.axhline(base, color=FAINT, linewidth=0.6)
        axes.set_yticks(range(len(histograms)), list(histograms)[::-1])
        axes.set_xlim(0, 1)
        axes.set_xlabel(x_label)
        return to_svg(figure, name)


def versions_figure(name: str, line: Line, versions: Sequence[str], y_label: str) -> str:
    """A figure of version after version; `x` of the line are places among them."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        errors = np.abs(np.transpose(line.bounds) - np.asarray(line.y))
        axes.errorbar(line.x, line.y, yerr=errors, color=ACCENT, lw=1.4, marker="o", ms=4, capsize=3)
        axes.set_xticks(range(len(versions)), list(versions))
        axes.set_ylim(bottom=0)
        axes.set_ylabel(y_label)
        return to_svg(figure, name)
