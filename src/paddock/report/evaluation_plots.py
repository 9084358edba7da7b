"""Plots of agreement and of comparisons into a file of their own, in plain colours that print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from paddock.errors import SettingsError

KINDS = (".svg", ".png", ".pdf")
BLUE, GREY, RED, DARK = "#3b6ea8", "#c9ccd1", "#c2604a", "#30343a"
ROW_INCHES = 0.34


def agreement_plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A dot a coefficient with its interval. Raises SettingsError for an unknown kind of file."""
    figure = _figure(len(rows), path)
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        if row["value"] is None:
            continue
        if row["lower"] is not None:
            axes.plot((row["lower"], row["upper"]), (place, place), color=BLUE, linewidth=2, solid_capstyle="butt")
        axes.plot(row["value"], place, "o", color=BLUE, markersize=5)
    names = [f"{row['coefficient']}, {row['weights']}" for row in rows]
    axes.set_yticks(range(len(rows)), labels=names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(right=1.02)
    axes.grid(axis="x", color=GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"agreement, {rows[0]['confidence_level']:.0%} intervals")
    _finish(figure, path)


def comparison_plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Bars of wins, ties and losses, a row a pair or group (Figures 12, 30, 31); the line is the interval of the wins."""
    figure = _figure(len(rows) + 1, path)
    axes = figure.add_subplot()
    begin = [0.0] * len(rows)
    for outcome, colour in (("win", BLUE), ("tie", GREY), ("loss", RED)):
        shares = [row[outcome]["estimate"] for row in rows]
        axes.barh(range(len(rows)), shares, left=begin, color=colour, height=0.7, label=outcome)
        for place, (start, share) in enumerate(zip(begin, shares, strict=True)):
            if share >= 0.06:
                text = "black" if outcome == "tie" else "white"
                axes.text(start + share / 2, place, f"{share:.0%}", color=text, ha="center", va="center", fontsize=8)
        begin = [start + share for start, share in zip(begin, shares, strict=True)]
    for place, row in enumerate(rows):
        if row["win"]["lower"] is not None:
            axes.plot((row["win"]["lower"], row["win"]["upper"]), (place + 0.27,) * 2, color=DARK, linewidth=1.6)
    axes.set_yticks(range(len(rows)), labels=[_name(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("share of prompts")
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    _finish(figure, path)


def _name(row: Mapping[str, Any]) -> str:
    pair = f"{row['first']} vs {row['second']}"
    return f"{pair} (n {row['prompts']:,})" if row["group"] == "all" else f"{row['group']} (n {row['prompts']:,})"


def _figure(rows: int, path: Path) -> Figure:
    if path.suffix not in KINDS:
        raise SettingsError(f"{path}: a plot is written as {', '.join(KINDS)}")
    return Figure(figsize=(6.4, 1.1 + ROW_INCHES * rows), layout="constrained")


def _finish(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
