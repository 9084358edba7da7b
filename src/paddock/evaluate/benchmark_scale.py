"""What a coefficient's value is called, with the chance of error taken in (Gwet's benchmarking, Handbook, chapter 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from paddock.errors import SettingsError, did_you_mean

SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "landis-koch": (
        (0.8, "Almost Perfect"),
        (0.6, "Substantial"),
        (0.4, "Moderate"),
        (0.2, "Fair"),
        (0.0, "Slight"),
        (-1.0, "Poor"),
    ),
    "altman": ((0.8, "Very Good"), (0.6, "Good"), (0.4, "Moderate"), (0.2, "Fair"), (-1.0, "Poor")),
    "fleiss": ((0.75, "Excellent"), (0.4, "Intermediate to Good"), (-1.0, "Poor")),
}
REQUIRED = 0.95


@dataclass(frozen=True, slots=True)
class Level:
    """A level from `lower` to `upper`; `cumulative` is the probability that the true value is at least `lower`."""

    name: str
    lower: float
    upper: float
    cumulative: float


def benchmark(value: float, se: float, scale: str = "landis-koch") -> tuple[str | None, list[Level]]:
    """The level that the value reaches with a probability of .95, and all levels from the top down.

    Probabilities are normal ones within -1 to 1. Without a standard error (0) it is the level that holds the value; where
    value or error is NaN there is none: None. Raises SettingsError for an unknown scale.
    """
    if scale not in SCALES:
        raise SettingsError(f'scale: "{scale}" is not one of {", ".join(SCALES)}.{did_you_mean(scale, SCALES)}')
    if math.isnan(value) or math.isnan(se):
        return None, []
    levels, upper, cumulative = [], 1.0, 0.0
    for lower, name in SCALES[scale]:
        cumulative = _probability_above(lower, value, se)
        levels.append(Level(name, lower, upper, cumulative))
        upper = lower
    return next(level.name for level in levels if level.cumulative >= REQUIRED), levels


def _probability_above(bound: float, value: float, se: float) -> float:
    """That a normal variable of this mean and deviation, kept within -1 to 1, lies above `bound`."""
    if bound == -1:
        return 1.0
    if se == 0:
        return float(value >= bound)
    below_top = special.ndtr((value - 1) / se)
    inside = special.ndtr((value + 1) / se) - below_top
    return float((special.ndtr((value - bound) / se) - below_top) / inside)
