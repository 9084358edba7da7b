"""The coefficients on patterns of items: value, observed and chance agreement, and what each item adds to the variance.

Forms and variances after Gwet, "Handbook of Inter-Rater Reliability" (4th edition), chapters 2 to 6, as the package irrCAC
computes them. Shapes: P patterns, q categories.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paddock.evaluate.ratings import Patterns

Floats = NDArray[np.float64]

NO_ROOM = 1e-14  # chance agreement this near to 1 leaves nothing to be explained: 0 / 0
ROUNDING = 1e-12  # deviations below are those of equal numbers


@dataclass(frozen=True, slots=True)
class Estimate:
    """A coefficient with its observed and chance agreement.

    `deviations` (P,) are h_i - value: an item's influence on the value, whose squares sum to the variance; `times` (P,) says
    how many items have it.
    """

    value: float
    observed: float
    chance: float
    deviations: Floats
    times: Floats

    @property
    def n(self) -> int:
        """The items behind the value."""
        return int(self.times.sum())

    def variance(self, sampled_share: float = 0.0) -> float:
        """The variance given the raters, (1 - f) / (n (n - 1)) times the sum of squares; NaN for one item."""
        if self.n < 2:
            return np.nan
        deviations = np.where(np.abs(self.deviations) < ROUNDING * max(1.0, abs(self.value)), 0.0, self.deviations)
        return float((1 - sampled_share) * (self.times @ deviations**2) / (self.n * (self.n - 1)))


class UndefinedError(Exception):
    """The ratings do not determine the coefficient; the message says why."""


def estimate(patterns: Patterns, coefficient: str, weights: Floats, ratio_form: bool = False) -> Estimate:
    """A coefficient by its form: `ac` (AC1, AC2), `fleiss` (Scott's pi too), `alpha`, `bp` (Brennan-Prediger) or `pa`.

    `weights` is (q, q). With `ratio_form` the variance is that of a ratio of sums, which items with one rating do not
    inflate; without such items the two are equal. Raises UndefinedError.
    """
    counts, times = patterns.counts, patterns.times
    raters = counts.sum(axis=1)
    paired = raters >= 2
    if counts.shape[1] < 2:
        raise UndefinedError("there is but one category")
    if not paired.any():
        raise UndefinedError("no item has two ratings")
    if coefficient == "alpha":
        return _alpha(Patterns(counts[paired], times[paired]), weights)
    n, share_paired = times.sum(), float(times[paired].sum() / times.sum())
    pairs = np.where(paired, raters * (raters - 1), 1.0)
    agreeing = np.where(paired, (counts * (counts @ weights - 1)).sum(axis=1) / pairs, 0.0)
    observed = float(times @ agreeing / times[paired].sum())
    shares = counts / raters[:, None]
    prevalence = times @ shares / n  # (q,)
    chance, by_item, slope = _chance(coefficient, prevalence, shares, weights)
    room = _room(chance)
    value = (observed - chance) / room
    centre = observed if ratio_form else chance
    own = (agreeing - np.where(paired, centre, 0.0)) / share_paired / room
    deviations = own - slope * (1 - value) * (by_item - chance) / room - (0.0 if ratio_form else value)
    return Estimate(value, observed, chance, deviations, times)


def _chance(coefficient: str, prevalence: Floats, shares: Floats, weights: Floats) -> tuple[float, Floats, float]:
    """Chance agreement, each pattern's part in it (P,), and how steeply chance follows that part."""
    size, total = len(prevalence), float(weights.sum())
    if coefficient == "ac":
        scale = total / (size * (size - 1))
        return scale * float(prevalence @ (1 - prevalence)), scale * (shares @ (1 - prevalence)), 2.0
    if coefficient == "fleiss":
        mean_weights = (weights + weights.T) @ prevalence / 2
        return float(prevalence @ weights @ prevalence), shares @ mean_weights, 2.0
    chance = {"bp": total / size**2, "pa": 0.0}[coefficient]
    return chance, np.full(len(shares), chance), 0.0


def _alpha(patterns: Patterns, weights: Floats) -> Estimate:
    """Krippendorff's alpha: every item has two ratings or more, and observed agreement is corrected by 1 / all ratings."""
    counts, times = patterns.counts, patterns.times
    raters = counts.sum(axis=1)
    n, total = times.sum(), float(times @ raters)
    mean, epsilon = total / n, 1 / total
    agreeing = (counts * (counts @ weights - 1)).sum(axis=1) / (mean * (raters - 1))
    plain = float(times @ agreeing / n)
    observed = (1 - epsilon) * plain + epsilon
    prevalence = times @ counts / total
    chance = float(prevalence @ weights @ prevalence)
    room = _room(chance)
    value, plain_value = (observed - chance) / room, (plain - chance) / room
    excess = (raters - mean) / mean
    by_item = counts @ ((weights + weights.T) @ prevalence / 2) / mean - chance * excess
    influence = (agreeing - observed * excess - chance) / room - 2 * (1 - plain_value) * (by_item - chance) / room
    return Estimate(value, observed, chance, influence - plain_value, times)


def cohen(table: Floats, weights: Floats) -> Estimate:
    """Cohen's kappa of two raters from their cross-table of counts, (q, q): chance is of each rater's own margins.

    The variance is that of Fleiss, Cohen and Everitt (1969), which divides by n: the deviations are scaled for it.
    """
    n = float(table.sum())
    if len(table) < 2:
        raise UndefinedError("there is but one category")
    if n == 0:
        raise UndefinedError("no item has two ratings")
    shares = table / n
    first, second = shares.sum(axis=1), shares.sum(axis=0)
    observed, chance = float((weights * shares).sum()), float(first @ weights @ second)
    room = _room(chance)
    value = (observed - chance) / room
    expected = (weights @ second)[:, None] + (weights.T @ first)[None, :]  # (q, q): both raters' mean weights
    influence = (weights - (1 - value) * expected - (value - chance * (1 - value))) / room
    return Estimate(value, observed, chance, influence.ravel() * np.sqrt(max(n - 1, 0) / n), table.ravel())


def _room(chance: float) -> float:
    """What chance leaves: 1 - chance. Raises UndefinedError where that is nothing."""
    if 1 - chance <= NO_ROOM:
        raise UndefinedError("all ratings are the same, so chance alone explains them: 0 / 0")
    return 1 - chance
