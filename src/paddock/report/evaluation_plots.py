"""Plots of agreement and of comparisons into a file of their own, in plain colours that print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from paddock.errors import SettingsError
from paddock.report.comparison_drawings import Look, draw_shares

KINDS = (".svg", ".png", ".pdf")
BLUE, GREY, RED, DARK = "#3b6ea8", "#c9ccd1", "#c2604a", "#30343a"
WIDTH, ROW_INCHES = 6.4, 0.34
IN_FILE = Look(WIDTH, (("win", BLUE, 1.0, "white"), ("tie", GREY, 1.0, "black"), ("loss", RED, 1.0, "white")), DARK)


def agreement_plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A dot a coefficient with its interval. Raises SettingsError for an unknown kind of file."""
    _check_kind(path)
    figure = Figure(figsize=(WIDTH, 1.1 + ROW_INCHES * len(rows)), layout="constrained")
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
    """Bars of wins, ties and losses with the interval of the wins. Raises SettingsError for an unknown kind of file."""
    _check_kind(path)
    figure = draw_shares([(_name(row), row) for row in rows], IN_FILE)
    figure.axes[0].set_xlabel("share of prompts")
    _finish(figure, path)


def _name(row: Mapping[str, Any]) -> str:
    pair = f"{row['first']} vs {row['second']}"
    return f"{pair} (n {row['prompts']:,})" if row["group"] == "all" else f"{row['group']} (n {row['prompts']:,})"


def _check_kind(path: Path) -> None:
    if path.suffix not in KINDS:
        raise SettingsError(f"{path}: a plot is written as {', '.join(KINDS)}")


def _finish(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
