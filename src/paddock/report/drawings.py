"""Drawings of the alignment: lines with their intervals, histograms, and how far a probability can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from paddock.report.figures import ACCENT, FAINT, INCHES, INK, MUTED, ROUND_STEPS, STYLE, to_svg
from paddock.report.wording import compact, percent

STROKES = ((ACCENT, "-"), (INK, "-"), (MUTED, "--"), (MUTED, ":"))  # of the first line, the second, ...
BINS = 20  # of a histogram from 0 to 1
LEVELS = 8  # shades of attention
DOT_AREA = 120.0  # square points of the largest dot


@dataclass(frozen=True)
class Line:
    """Values y at places x, with the bounds of their intervals where there are some; all of one length."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    bounds: Sequence[tuple[float, float]] = ()
    dots: bool = False


def line_figure(
    name: str,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    shares: bool = False,
    ends: tuple[str, str] | None = None,
) -> str:
    """Lines over each other, intervals as bands. `shares` are written as per cent; `ends` name the first and the
    last place of the first line. `name` keeps the drawing's ids apart from those of others on the page.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        for place, line in enumerate(lines):
            colour, dashes = STROKES[place % len(STROKES)]
            marker = "o" if line.dots else ""
            depth = 3 if line.dots else 2  # what has few values stands before what has many
            axes.plot(line.x, line.y, color=colour, ls=dashes, lw=1.4, marker=marker, ms=3, zorder=depth, label=line.label)
            if line.bounds:
                axes.fill_between(line.x, *np.transpose(line.bounds), color=colour, alpha=0.15, linewidth=0)
        for at, text in zip((0, -1), ends, strict=True) if ends else ():
            end = lines[0].x[at], lines[0].y[at]
            axes.annotate(text, end, (0, 7), textcoords="offset points", ha="center", fontsize=8, zorder=4)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND_STEPS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value) if value >= 1000 else f"{value:g}"))
        if shares:
            _as_per_cent(axes)
        if len(lines) > 1:
            figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2, borderpad=0)
        return to_svg(figure, name)


def score_histogram(name: str, panels: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """The share of chosen and of rejected replies by score from 0 to 1 (the paper's figure 27), a panel each."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(INCHES[0], 0.9 + 1.15 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (title, values) in zip(grid.flat, panels.items(), strict=False):
            axes.set_title(title, fontsize=9, color=MUTED, loc="left")
            for scores, label, look in zip(
                values,
                ("chosen", "rejected"),
                ({"color": ACCENT, "alpha": 0.55}, {"color": INK, "fill": False}),
                strict=True,
            ):
                shares, edges = np.histogram(scores, bins=BINS, range=(0, 1))
                axes.stairs(shares / max(len(scores), 1), edges, label=label, **{"fill": True, **look})
            axes.set_xlim(0, 1)
            _as_per_cent(axes)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel("sigmoid of the score", fontsize=9)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2, borderpad=0)
        return to_svg(figure, name)


def reliability_figure(name: str, bins: Sequence[tuple[float, float, int]]) -> str:
    """How often the preferred reply was the chosen one, by the probability given: (probability, accuracy, pairs) a bin."""
    confidence, accuracy, pairs = np.array(bins, dtype=np.float64).T
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.plot((0.5, 1), (0.5, 1), color=FAINT, linestyle="--", linewidth=1.2)
        axes.plot(confidence, accuracy, color=ACCENT, linewidth=1)
        axes.scatter(confidence, accuracy, s=DOT_AREA * pairs / pairs.max(), color=ACCENT, alpha=0.6, linewidth=0)
        axes.set_xlabel("probability given to the preferred reply")
        axes.set_ylabel("how often it was chosen")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value).replace(".0%", "%")))
        axes.set_xlim(0.48, 1.02)
        _as_per_cent(axes)
        return to_svg(figure, name)


def attention_figure(name: str, picture: NDArray[np.float32], tokens: int, span: tuple[int, int], brightest: float) -> str:
    """A lower triangle of attentions (N, N), by place of the later token (down) and of the earlier one, of `tokens` in all.

    Cells are of `LEVELS` shades from 0 to `brightest`; lines bound the columns of the tokens in `span`. Shades are drawn as
    one shape each, of runs of like cells: a page takes no images.
    """
    bins = len(picture)
    levels = np.ceil(picture / brightest * LEVELS).clip(0, LEVELS).astype(int)
    edges = np.linspace(0, -(-tokens // bins) * bins, bins + 1)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(INCHES[0], INCHES[0]), layout="constrained")
        axes = figure.add_subplot()
        for level in range(1, LEVELS + 1):
            if boxes := [
                _box(edges[begin], edges[row], edges[end], edges[row + 1])
                for row in range(bins)
                for begin, end in _runs(levels[row] == level)
            ]:
                axes.add_patch(PathPatch(Path.make_compound_path(*boxes), color=ACCENT, alpha=level / LEVELS, linewidth=0))
        for place in span:
            axes.axvline(place, color=INK, linewidth=0.6, linestyle=":")
        axes.set_xlim(0, tokens)
        axes.set_ylim(tokens, 0)
        axes.set_xlabel("earlier token")
        axes.set_ylabel("later token")
        return to_svg(figure, name)


def _runs(cells: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where cells (N,) that are true begin, and where they end."""
    changes = np.flatnonzero(np.diff(np.r_[0, cells.astype(int), 0]))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True))


def _box(left: float, top: float, right: float, bottom: float) -> Path:
    return Path([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], closed=True)


def _as_per_cent(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value).replace(".0%", "%")))
