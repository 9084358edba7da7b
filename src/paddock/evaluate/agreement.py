"""How far raters agree beyond chance: coefficients with errors, intervals and p-values (paper sections 3.4.2 and A.3.7).

    agreement([[1, 1, 2], [3, 3, 3], [2, 2, None]], weights="quadratic", categories=[1, 2, 3, 4, 5, 6, 7])

A figure that the ratings do not determine is NaN, and `notes` says why.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from paddock.errors import DataError, SettingsError, did_you_mean
from paddock.evaluate.coefficients import Estimate, UndefinedError, cohen, estimate
from paddock.evaluate.ratings import Codes, Patterns, Ratings, checked_categories, code_ratings, count_patterns
from paddock.evaluate.weights import Floats, name_of, weight_matrix

COEFFICIENTS = {
    "ac1": "Gwet's AC1",
    "ac2": "Gwet's AC2",
    "alpha": "Krippendorff's alpha",
    "fleiss": "Fleiss' kappa",
    "scott": "Scott's pi",
    "cohen": "Cohen's kappa",
    "bp": "Brennan-Prediger",
    "pa": "percent agreement",
}
FORMS = {"ac1": "ac", "ac2": "ac", "scott": "fleiss"}  # Scott's pi is Fleiss' kappa of two raters

RaterEffect = Literal["fixed", "sampled"]
IntervalForm = Literal["t", "log"]
SingleRatings = Literal["gwet", "ratio"]
CHOICES = {
    "raters": get_args(RaterEffect),
    "interval": get_args(IntervalForm),
    "single_ratings": get_args(SingleRatings),
}


class AgreementWarning(UserWarning):
    """A figure that is undefined, or that should be read with care."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient with its standard error, interval, two-sided p-value against zero, observed and chance agreement.

    `pa` is observed and `pe` chance agreement. `n` counts items: those with a rating, for alpha those with two. `df` are
    the degrees of freedom of Student's t.
    """

    value: float
    se: float
    lower: float
    upper: float
    p_value: float
    pa: float
    pe: float
    n: int
    coefficient: str
    weights: str
    confidence_level: float
    categories: tuple[float | str, ...]
    raters: int
    df: float
    notes: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """All fields as JSON can hold them: None where a number is unknown."""
        fields = {**asdict(self), "categories": list(self.categories), "notes": list(self.notes)}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}


def agreement(
    ratings: Any,
    coefficient: str = "ac2",
    weights: str | ArrayLike = "quadratic",
    categories: Sequence[Any] | None = None,
    confidence_level: float = 0.95,
    population_size: float | None = None,
    *,
    raters: RaterEffect = "fixed",
    rater_population: float | None = None,
    interval: IntervalForm = "t",
    single_ratings: SingleRatings = "gwet",
) -> Agreement:
    """The agreement of `ratings`, items x raters: an array, lists or a data frame; None, NaN and empty text are missing. Or
    of Ratings, which are coded already: `categories` are theirs.

    `coefficient` is one of ac1, ac2, alpha, fleiss, scott, cohen, bp (Brennan-Prediger), pa (percent agreement); scott and
    cohen are of two raters, and cohen needs both ratings of every item. `weights` is a scheme of `weights.py`, or a matrix
    in the order of `categories`; ac1 is always unweighted. `categories` declares what could have been given, numbers or
    ordered labels.

    `population_size` is the number of items that these were drawn from (none: without end). With `raters="sampled"` the
    standard error holds for other raters too, of `rater_population`, by Gwet's jackknife over three or more; its
    degrees of freedom are Satterthwaite's, which is this package's choice. `interval="log"` forms the interval on
    log(1 - value), which covers better below a hundred items. `single_ratings="ratio"` takes a variance that items with one
    rating do not inflate; Gwet's is the default, with a warning.

    Every note is an AgreementWarning too. Raises DataError for ratings, and SettingsError for settings, that cannot be used.
    """
    _check_choices(raters=raters, interval=interval, single_ratings=single_ratings)
    coded = ratings if isinstance(ratings, Ratings) else code_ratings(ratings, categories)
    given = weights if isinstance(weights, str) or categories is None else _in_order(weights, categories)
    scheme = "identity" if coefficient == "ac1" else given
    _check(coded, coefficient, scheme, confidence_level, population_size, raters, rater_population)
    patterns = count_patterns(coded.codes, len(coded.categories))
    rated = int(patterns.times.sum())

    def result(found: Estimate | None, se: float, bounds: tuple[float, float], df: float, notes: Sequence[str]) -> Agreement:
        for note in notes:
            warnings.warn(note, AgreementWarning, stacklevel=3)
        value, pa, pe = (found.value, found.observed, found.chance) if found else (math.nan, math.nan, math.nan)
        p_value = 2 * float(special.stdtr(df, -abs(value / se))) if se > 0 else math.nan
        return Agreement(
            value=value,
            se=se,
            lower=bounds[0],
            upper=bounds[1],
            p_value=p_value,
            pa=pa,
            pe=pe,
            n=found.n if found else rated,
            coefficient=coefficient,
            weights=name_of(scheme),
            confidence_level=confidence_level,
            categories=coded.categories,
            raters=coded.codes.shape[1],
            df=df,
            notes=tuple(notes),
        )

    if not coded.categories:
        return result(None, math.nan, (math.nan, math.nan), math.nan, ["undefined: there is no rating"])
    matrix = weight_matrix(scheme, coded.scores)
    ratio_form = single_ratings == "ratio"
    try:
        found = _estimate(patterns, coded.codes, coefficient, matrix, ratio_form)
    except UndefinedError as why:
        return result(None, math.nan, (math.nan, math.nan), math.nan, [f"undefined: {why}"])
    share = 0.0 if population_size is None else rated / population_size
    variance, df, notes = found.variance(share), float(found.n - 1), _notes(found, patterns, coefficient, ratio_form)
    if raters == "sampled":
        by_raters = _rater_variance(coded.codes, coefficient, matrix, rater_population)
        df = _satterthwaite(variance, df, by_raters, coded.codes.shape[1] - 1)
        variance += by_raters
    se = math.sqrt(variance)
    bounds = _bounds(found.value, se, df, confidence_level, interval)
    if interval == "log" and math.isnan(bounds[0]) and se > 0:
        notes.append("a value of 1 has no logarithm of 1 - value: no interval")
    return result(found, se, bounds, df, notes)


def _check_choices(**given: str) -> None:
    for name, choice in given.items():
        if choice not in CHOICES[name]:
            raise SettingsError(f'{name}: "{choice}" is not one of {", ".join(CHOICES[name])}')


def _check(
    ratings: Ratings,
    coefficient: str,
    weights: str | ArrayLike,
    confidence_level: float,
    population_size: float | None,
    raters: RaterEffect,
    rater_population: float | None,
) -> None:
    if ratings.codes.ndim != 2:
        raise SettingsError(f"ratings must be items x raters, and have the shape {ratings.codes.shape}")
    if coefficient not in COEFFICIENTS:
        mend = did_you_mean(coefficient, COEFFICIENTS)
        raise SettingsError(f'coefficient: "{coefficient}" is not one of {", ".join(COEFFICIENTS)}.{mend}')
    items, columns = ratings.codes.shape
    if not 0 < confidence_level < 1:
        raise SettingsError(f"confidence_level is {confidence_level}, and must lie between 0 and 1")
    if population_size is not None and not population_size >= items:
        raise SettingsError(f"population_size is {population_size}, fewer than the {items} items")
    if ratings.categories and not (ratings.are_numbers or ratings.declared) and name_of(weights) != "identity":
        seen = ", ".join(map(str, ratings.categories[:10]))
        raise SettingsError(
            f"{name_of(weights)} weights need the order of the labels, and it is not declared (seen: {seen}). "
            'Give categories in their order, or weights="identity"'
        )
    if coefficient in ("scott", "cohen") and columns != 2:
        other = "fleiss" if coefficient == "scott" else "fleiss or ac2"
        raise SettingsError(f"{COEFFICIENTS[coefficient]} is of two raters, and there are {columns}. Use {other}")
    if raters == "sampled" and (columns < 3 or coefficient == "cohen"):
        raise SettingsError(f"a standard error over raters needs three raters or more, and there are {columns}")
    if rater_population is not None and not rater_population >= columns:
        raise SettingsError(f"rater_population is {rater_population}, fewer than the {columns} raters")


def _in_order(weights: ArrayLike, categories: Sequence[Any]) -> Floats:
    """A matrix given in the order of declared numbers, in their rising order."""
    matrix = np.asarray(weights, dtype=np.float64)
    known = list(checked_categories(categories))
    if isinstance(known[0], str) or matrix.shape != (len(known), len(known)):
        return matrix
    order = np.argsort(np.asarray(categories, dtype=np.float64), kind="stable")
    return matrix[np.ix_(order, order)]


def _estimate(patterns: Patterns, codes: Codes, coefficient: str, weights: Floats, ratio_form: bool) -> Estimate:
    if coefficient != "cohen":
        return estimate(patterns, FORMS.get(coefficient, coefficient), weights, ratio_form)
    size = len(weights)
    rated = (codes < size).sum(axis=1)
    if (rated == 1).any():
        row = int(np.flatnonzero(rated == 1)[0]) + 1
        mend = "Leave the item out, or use fleiss, which takes missing ratings"
        raise DataError("ratings", "Cohen's kappa needs the ratings of both raters, and one is missing", line=row, mend=mend)
    both = codes[rated == 2].astype(np.int64)
    table = np.bincount(both[:, 0] * size + both[:, 1], minlength=size * size).reshape(size, size)
    return cohen(table.astype(np.float64), weights)


def _rater_variance(codes: Codes, coefficient: str, weights: Floats, population: float | None) -> float:
    """Gwet's (2008) jackknife over raters: the value without each of them, the categories being the same."""
    count, form = codes.shape[1], FORMS.get(coefficient, coefficient)
    without = (count_patterns(np.delete(codes, rater, axis=1), len(weights)) for rater in range(count))
    try:
        values = np.array([estimate(patterns, form, weights).value for patterns in without])
    except UndefinedError:
        return math.nan
    share = 0.0 if population is None else count / population
    return float((1 - share) * (count - 1) / count * ((values - values.mean()) ** 2).sum())


def _satterthwaite(by_items: float, item_df: float, by_raters: float, rater_df: float) -> float:
    """The degrees of freedom of a sum of two variances (Satterthwaite 1946)."""
    spread = by_items**2 / item_df + by_raters**2 / rater_df if item_df else math.nan
    return (by_items + by_raters) ** 2 / spread if spread else item_df


def _bounds(value: float, se: float, df: float, confidence_level: float, form: IntervalForm) -> tuple[float, float]:
    if math.isnan(se):
        return math.nan, math.nan
    if se == 0:
        return value, value
    reach = float(special.stdtrit(df, (1 + confidence_level) / 2)) * se
    if form == "t":
        return value - reach, min(1.0, value + reach)
    if value >= 1:
        return math.nan, math.nan
    factor = math.exp(min(reach / (1 - value), 700.0))
    return 1 - (1 - value) * factor, 1 - (1 - value) / factor


def _notes(found: Estimate, patterns: Patterns, coefficient: str, ratio_form: bool) -> list[str]:
    notes = []
    single = int(patterns.times[patterns.counts.sum(axis=1) == 1].sum())
    if single and coefficient not in ("alpha", "cohen") and not ratio_form:
        notes.append(
            f"{single:,} of {found.n:,} items have one rating, which inflates this standard error; "
            'the ratio form (single_ratings="ratio", --ratio-errors) is not inflated'
        )
    if found.n == 1:
        notes.append("one item has no standard error")
    return notes
