"""Bars of documents by length or by score."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from paddock.report.figures import ACCENT, INCHES, STYLE, to_svg
from paddock.report.wording import compact

TICKS = 6


def bars(name: str, bins: Sequence[tuple[str, int]], label: str, *, logarithmic: bool = False) -> str:
    """A bar a bin, labelled with where it begins; documents on the left, `logarithmic` where counts are far apart."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.bar(range(len(bins)), [documents for _, documents in bins], width=0.9, align="edge", color=ACCENT, alpha=0.6)
        if logarithmic and any(documents for _, documents in bins):
            axes.set_yscale("log")
        step = max(1, -(-len(bins) // TICKS))
        axes.set_xticks(range(0, len(bins), step), [begin for begin, _ in bins[::step]])
        axes.set_xlabel(label)
        axes.set_ylabel("documents")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
        return to_svg(figure, name)
