"""Drawings as SVG that stands inside a page: its colours and typeface are the page's, in light and in dark.

Matplotlib draws with stand-in colours that become CSS here, and text stays text. Equal data give equal bytes.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from paddock.report.wording import compact

# Stand-ins: no drawing uses these colours for themselves.
INK, MUTED, FAINT, ACCENT = "#010203", "#040506", "#070809", "#0a0b0c"
CSS_COLOURS = {INK: "currentColor", MUTED: "var(--muted)", FAINT: "var(--line)", ACCENT: "var(--accent)"}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "paddock",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": MUTED,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
INCHES = (4.0, 2.8)
POINTS_DRAWN = 300
ROUND_STEPS = (1, 2, 2.5, 5, 10)
LOG_FROM_RATIO = 3.0  # a loss that falls further than this shows its later part on a logarithmic scale alone


@dataclass(frozen=True)
class Curve:
    """A loss by step; `tokens` counts what was trained on up to each step. Arrays of shape (n,), steps rising."""

    steps: NDArray[np.float64]
    counts: NDArray[np.float64]  # of the unit, so far
    losses: NDArray[np.float64]
    unit: str = "tokens"


def loss_figure(name: str, train: Curve, validation: Curve) -> str:
    """Training and validation loss by what was trained on (below) and by steps (above), in nats. `validation` may be empty.

    `name` keeps the drawing's ids apart from those of others on the page.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        thin = averaged(train)
        axes.plot(thin.counts, thin.losses, color=INK, alpha=0.55, linewidth=1, label="training")
        axes.plot(
            validation.counts, validation.losses, color=ACCENT, linewidth=1.6, marker="o", markersize=2.6, label="validation"
        )
        axes.set_ylabel(f"loss (nats a {train.unit.removesuffix('s')})")
        axes.set_xlabel(train.unit)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND_STEPS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
        _scale_of_losses(axes, np.concatenate([thin.losses, validation.losses]))
        _steps_above(axes, train)
        axes.legend(loc="upper right")
        return to_svg(figure, name)


def averaged(curve: Curve) -> Curve:
    """At most 300 points: each the mean of as many neighbours as that needs, at their last step."""
    group = -(-len(curve.steps) // POINTS_DRAWN)
    if group <= 1:
        return curve
    starts = np.arange(0, len(curve.steps), group)
    ends = np.minimum(starts + group, len(curve.steps))
    losses = np.add.reduceat(curve.losses, starts) / (ends - starts)
    return Curve(curve.steps[ends - 1], curve.counts[ends - 1], losses, curve.unit)


def counts_by(curve: Curve, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much had been trained on by each of `steps`, shape (n,): by straight lines between what was logged."""
    return np.interp(steps, np.r_[0, curve.steps], np.r_[0, curve.counts])


def _scale_of_losses(axes: Axes, losses: NDArray[np.float64]) -> None:
    low, high = float(losses.min()), float(losses.max())
    if low > 0 and high / low > LOG_FROM_RATIO:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())


def _steps_above(axes: Axes, curve: Curve) -> None:
    """A second axis that names steps where their counts lie."""
    last = curve.steps[-1]
    ticks = [step for step in MaxNLocator(5, steps=ROUND_STEPS, integer=True).tick_values(0, last) if 0 <= step <= last]
    above = axes.twiny()
    above.set_xlim(axes.get_xlim())
    above.set_xticks(counts_by(curve, np.array(ticks)), [f"{step:,.0f}" for step in ticks])
    above.set_xlabel("steps")
    above.grid(visible=False)


def to_svg(figure: Figure, name: str) -> str:
    """The drawing as an `<svg>` element: scales with its box, takes the page's colours, ids begin with `name`."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].rstrip()
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, count=1, flags=re.DOTALL)  # it would hold for the whole page
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
    for stand_in, colour in CSS_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg
