"""Several coefficients of one table of ratings side by side, each with the weights that it was computed with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from paddock.errors import DataError
from paddock.evaluate.agreement import Agreement, AgreementWarning, agreement
from paddock.evaluate.benchmark_scale import benchmark
from paddock.evaluate.rating_tables import RatedItems

# The paper's AC2 does not say which weights: the three that it may mean stand side by side.
DEFAULT_COEFFICIENTS = ("ac2", "alpha", "fleiss", "bp", "pa")
DEFAULT_WEIGHTS = ("identity", "linear", "quadratic")


def agreement_report(
    rated: RatedItems, coefficients: Sequence[str], weights: Sequence[str], scale: str, **options: Any
) -> dict[str, Any]:
    """What was rated, a row a coefficient and weights with the level that it reaches on `scale`, and notes.

    Without `coefficients` there are AC2, alpha, Fleiss' kappa, Brennan-Prediger and percent agreement; without `weights`
    identity, linear and quadratic, or identity alone where labels have no declared order. `options` go to `agreement`.
    """
    ratings = rated.ratings
    ordered = ratings.are_numbers or ratings.declared
    schemes = tuple(weights) or (DEFAULT_WEIGHTS if ordered else DEFAULT_WEIGHTS[:1])
    rows, notes = [], {}
    for coefficient in tuple(coefficients) or DEFAULT_COEFFICIENTS:
        for scheme in ("identity",) if coefficient == "ac1" else schemes:
            found = _of_items(rated, coefficient, scheme, options)
            row = {**found.as_row(), "level": benchmark(found.value, found.se, scale)[0]}
            rows.append({key: value for key, value in row.items() if key not in ("categories", "notes")})
            notes.update(dict.fromkeys(found.notes))
    if not ordered and not weights:
        notes["labels have no declared order: unweighted alone; name them in order with --categories for weights"] = None
    return {
        "items": len(rated.items),
        "raters": len(rated.raters),
        "ratings": int(np.count_nonzero(ratings.codes < len(ratings.categories))),
        "categories": list(ratings.categories),
        "categories_are": "declared" if ratings.declared else "those seen",
        "scale": scale,
        "coefficients": rows,
        "notes": list(notes),
    }


def _of_items(rated: RatedItems, coefficient: str, weights: str, options: dict[str, Any]) -> Agreement:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AgreementWarning)  # what it says is among the notes
            return agreement(rated.ratings, coefficient, weights, **options)
    except DataError as error:
        where = f"item {rated.items[error.line - 1]}: " if error.line else ""
        raise DataError(rated.path, where + error.problem, mend=error.mend) from None
