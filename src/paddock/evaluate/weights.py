"""Weights of partial agreement: how much two categories have in common, from 0 to 1.

Gwet, "Handbook of Inter-Rater Reliability" (4th edition), chapter 3. A weight is 1 on the diagonal; with two categories
every scheme is identity. The paper reports AC2 without saying which weights (section 3.4.2): report them with the figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paddock.errors import SettingsError, did_you_mean

SCHEMES = ("identity", "linear", "quadratic", "ordinal", "radical", "ratio", "circular", "bipolar")

Floats = NDArray[np.float64]


def weight_matrix(weights: str | ArrayLike, scores: Sequence[float]) -> Floats:
    """The weights of every two categories, shape (q, q), for `scores` in rising order, shape (q,).

    `weights` is a scheme's name or a matrix in the order of `scores`. The scores are those of all declared categories,
    since most schemes divide by their range; labels have the ranks 1 to q. Raises SettingsError for an unknown scheme, for
    ratio weights of a score that is not above 0, and for a matrix that is not (q, q), symmetric, within 0 to 1 and 1 on
    the diagonal.
    """
    if isinstance(weights, str):
        return _scheme(weights, np.asarray(scores, dtype=np.float64))
    return _checked(np.asarray(weights, dtype=np.float64), len(scores))


def name_of(weights: str | ArrayLike) -> str:
    """The scheme's name, or `custom`."""
    return weights if isinstance(weights, str) else "custom"


def _scheme(name: str, scores: Floats) -> Floats:
    if name not in SCHEMES:
        mend = did_you_mean(name, SCHEMES)
        raise SettingsError(f'weights: "{name}" is not one of {", ".join(SCHEMES)}.{mend}')
    if name == "identity" or len(scores) == 1:
        return np.eye(len(scores))
    first, second = scores[:, None], scores[None, :]
    lowest, highest = float(scores.min()), float(scores.max())
    distance = np.abs(first - second)
    if name == "quadratic":
        distance = distance**2
    elif name == "radical":
        distance = np.sqrt(distance)
    elif name == "ordinal":
        ranks = np.arange(len(scores))
        apart = np.abs(ranks[:, None] - ranks[None, :])
        distance = apart * (apart + 1) / 2.0
    elif name == "ratio":
        if lowest <= 0:
            raise SettingsError(f"ratio weights need scores above 0, and the lowest is {lowest:g}. Use another scheme")
        distance = (distance / (first + second)) ** 2
    elif name == "circular":
        distance = np.sin(np.pi * distance / (highest - lowest + 1)) ** 2
    elif name == "bipolar":
        products = (first + second - 2 * lowest) * (2 * highest - first - second)
        distance = distance**2 / np.where(distance == 0, 1.0, products)
    # For linear, quadratic, radical and ratio weights the largest distance is that of the range's two ends.
    shared: Floats = 1 - distance / distance.max()
    return shared


def _checked(matrix: Floats, size: int) -> Floats:
    problem = None
    if matrix.shape != (size, size):
        problem = f"its shape is {matrix.shape}, and there are {size} categories"
    elif not (np.all(matrix >= 0) and np.all(matrix <= 1)):  # NaN too
        problem = "a weight lies outside 0 to 1"
    elif not np.all(np.diag(matrix) == 1):
        problem = "a category agrees with itself: its diagonal must be 1"
    elif not np.array_equal(matrix, matrix.T):
        problem = "it is not symmetric, and observed and chance agreement would use different triangles"
    if problem:
        raise SettingsError(f"the matrix of weights cannot be used: {problem}")
    return matrix
