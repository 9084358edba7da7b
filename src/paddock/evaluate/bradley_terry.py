"""Strengths of many models from comparisons of two: the model of Bradley and Terry (1952), by Newton's method.

The probability that i beats j is sigmoid(strength_i - strength_j); a tie counts as half a win of each. The strengths have
mean 0. Their covariance is the sandwich of the clusters' scores (White 1982), so that several comparisons of one prompt,
and ties, do not feign certainty.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special
from scipy.sparse import csgraph

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Names = Sequence[str] | NDArray[Any]

LONGEST_STEP = 3.0  # of a strength in one Newton step: from 0 the first may overshoot
TOLERANCE = 1e-10  # of the last step
MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """`models`, strongest first, with `strengths` (m,) on the logit scale, standard errors and interval bounds.

    Where no maximum exists all four are NaN, the models are in order of name, and `note` says why.
    """

    models: tuple[str, ...]
    strengths: Floats
    se: Floats
    lower: Floats
    upper: Floats
    comparisons: int
    confidence: float
    note: str | None = None

    def win_probabilities(self) -> Floats:
        """The probability that the row's model beats the column's, shape (m, m)."""
        wins: Floats = special.expit(self.strengths[:, None] - self.strengths[None, :])
        return wins

    def as_rows(self) -> list[dict[str, Any]]:
        """A row a model, with None where a number is unknown."""
        columns = {"strength": self.strengths, "se": self.se, "lower": self.lower, "upper": self.upper}
        return [
            {"model": model, **{k: float(v[place]) if math.isfinite(v[place]) else None for k, v in columns.items()}}
            for place, model in enumerate(self.models)
        ]


def bradley_terry(
    first: Names,
    second: Names,
    outcomes: ArrayLike,
    clusters: Sequence[Hashable] | NDArray[Any] | None = None,
    confidence: float = 0.95,
) -> BradleyTerry:
    """Fit strengths to N comparisons: names of the two models, and 1 where the first won, 0 the second, 0.5 for a tie.

    `clusters` names each comparison's prompt; without it comparisons are independent. Intervals are normal, and those of
    differences from the mean model. Raises ValueError for lengths that differ, a model compared with itself, and outcomes
    outside 0 to 1.
    """
    won = np.asarray(outcomes, dtype=np.float64)
    if not len(first) == len(second) == len(won):
        raise ValueError(f"{len(first)} first models, {len(second)} second ones, {len(won)} outcomes")
    if len(won) and not (won.min() >= 0 and won.max() <= 1):
        raise ValueError("an outcome lies outside 0 to 1")
    names, i, j = _numbered(first, second)
    if (i == j).any():
        raise ValueError(f"comparison {int(np.flatnonzero(i == j)[0]) + 1}: a model is compared with itself")
    wins = win_table(i, j, won, len(names))
    if note := why_no_maximum(wins, names):
        unknown = np.full(len(names), math.nan)
        return BradleyTerry(names, unknown, unknown, unknown, unknown, len(won), confidence, note)
    strengths = fit(wins)
    residuals = won - special.expit(strengths[i] - strengths[j])
    bread = np.linalg.pinv(_information(strengths, wins), hermitian=True)
    covariance = bread @ _meat(i, j, residuals, clusters, len(names)) @ bread
    se = np.sqrt(np.maximum(np.diag(covariance), 0))
    reach = float(special.ndtri((1 + confidence) / 2)) * se
    order = np.argsort(-strengths, kind="stable")
    lower, upper = (strengths - reach)[order], (strengths + reach)[order]
    models = tuple(names[k] for k in order)
    return BradleyTerry(models, strengths[order], se[order], lower, upper, len(won), confidence)


def win_table(first: Ints, second: Ints, outcomes: Floats, size: int) -> Floats:
    """How often the row's model beat the column's, (m, m), ties counted half, from numbered models (N,)."""
    wins = np.bincount(first * size + second, weights=outcomes, minlength=size * size)
    wins += np.bincount(second * size + first, weights=1 - outcomes, minlength=size * size)
    return wins.astype(np.float64).reshape(size, size)


def fit(wins: Floats) -> Floats:
    """The strengths (m,) of greatest likelihood for a table of wins (m, m), their mean 0; a maximum must exist."""
    size = len(wins)
    games = wins + wins.T
    strengths = np.zeros(size)
    for _ in range(MOST_STEPS):
        gradient = (wins - games * special.expit(strengths[:, None] - strengths[None, :])).sum(axis=1)
        # The likelihood does not change when all strengths move together: the added ones pin their mean at 0.
        step = np.linalg.solve(_information(strengths, wins) + 1 / size, gradient)
        longest = np.abs(step).max(initial=0.0)
        strengths += step * min(1.0, LONGEST_STEP / max(longest, LONGEST_STEP))
        if longest < TOLERANCE:
            break
    centred: Floats = strengths - strengths.mean()
    return centred


def why_no_maximum(wins: Floats, names: Sequence[str]) -> str | None:
    """Say why the likelihood has no maximum, or None where it has one.

    It has one where every model can be reached from every other along wins (Ford 1957): no group of models is unconnected
    with the rest, and none is undefeated by it.
    """
    if len(names) < 2:
        return "no comparison of two models"
    parts, part_of = csgraph.connected_components(sparse.csr_matrix(wins + wins.T > 0), directed=False)
    if parts > 1:
        groups = [_listed(names, part_of == part) for part in range(min(parts, 3))]
        return f"no scale joins models that were never compared, directly or through others: {' | '.join(groups)}"
    parts, part_of = csgraph.connected_components(sparse.csr_matrix(wins > 0), connection="strong")
    if parts == 1:
        return None
    apart = []
    for part in range(parts):
        inside = part_of == part
        for table, what in ((wins, "never lost to"), (wins.T, "never won against")):
            if not table[np.ix_(~inside, inside)].any():
                apart.append((int(inside.sum()), what, _listed(names, inside)))
    _, what, group = min(apart)  # the smallest such group, there being one or more
    return f"{group} {what} any other model, not even by a tie: the strength has no bound"


def _listed(everyone: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    names = [name for name, is_chosen in zip(everyone, chosen, strict=True) if is_chosen]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _numbered(first: Names, second: Names) -> tuple[tuple[str, ...], Ints, Ints]:
    """The models' names in order, and the numbers of both sides."""
    encoded = pa.concat_arrays([pa.array(first, pa.string()), pa.array(second, pa.string())]).dictionary_encode()
    if encoded.null_count:
        raise ValueError("a comparison lacks the name of a model")
    seen = encoded.dictionary.to_pylist()
    names = tuple(sorted(seen))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in seen], dtype=np.int64)[encoded.indices.to_numpy()]
    return names, numbers[: len(first)], numbers[len(first) :]


def _information(strengths: Floats, wins: Floats) -> Floats:
    """Minus the second derivative of the log-likelihood, (m, m): a Laplacian."""
    chances = special.expit(strengths[:, None] - strengths[None, :])
    between = (wins + wins.T) * chances * (1 - chances)
    information: Floats = np.diag(between.sum(axis=1)) - between
    return information


def _meat(i: Ints, j: Ints, residuals: Floats, clusters: Any, size: int) -> Floats:
    """The sum over clusters of the outer products of their scores, (m, m), with the small-sample factor C / (C - 1)."""
    if clusters is None:
        count = len(residuals)
        between = np.bincount(i * size + j, weights=residuals**2, minlength=size * size).reshape(size, size)
        between = between + between.T
        meat = np.diag(between.sum(axis=1)) - between
    else:
        places: dict[Hashable, int] = {}
        cluster = np.array([places.setdefault(name, len(places)) for name in clusters])
        count = len(places)
        rows, columns = np.concatenate([cluster, cluster]), np.concatenate([i, j])
        scores = sparse.csr_matrix((np.concatenate([residuals, -residuals]), (rows, columns)), shape=(count, size))
        meat = (scores.T @ scores).toarray()
    return meat * count / (count - 1) if count > 1 else np.full((size, size), math.nan)
