"""An interpolated Kneser-Ney n-gram model over token ids: the baseline that a trained network's validation loss must beat.

Chen and Goodman (1999), "An empirical study of smoothing techniques for language modeling", section 3: interpolated, with
three discounts an order estimated from counts of counts; the lowest order interpolates with the uniform distribution.
All counting is by sorting; a million tokens at order 5 take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """The n-grams of one length n, sorted, numbered by their place; G of them, H histories (the n-grams one shorter).

    `keys` (G,) is a history's number x V + the last token; `counts` (G,) are occurrences at the highest order and distinct
    left neighbours below it; `totals` (H,) sums them by history; `backoff` (H,) is the mass that discounting frees.
    """

    keys: Ints
    counts: Ints
    discounts: Floats
    totals: Ints
    backoff: Floats


@dataclass(frozen=True)
class Model:
    """`orders[n - 1]` holds the n-grams; their ids are below `vocab_size`."""

    orders: tuple[Order, ...]
    vocab_size: int


def train(token_ids: Sequence[int] | Ints, vocab_size: int, order: int = 5) -> Model:
    """Count the n-grams of one stream of token ids, shape (T,), up to `order`. Raises ValueError for ids out of range."""
    tokens = _checked(token_ids, vocab_size)
    if order < 1 or len(tokens) < order:
        raise ValueError(f"{len(tokens)} tokens are too few for order {order}")
    keys, numbers, firsts, occurrences = [], [], [], []
    history = np.zeros(len(tokens), dtype=np.int64)  # of each token: the number of the n-gram that ends before it
    for n in range(1, order + 1):
        ends = np.arange(n - 1, len(tokens))
        unique, first, number, count = np.unique(
            history[ends] * vocab_size + tokens[ends], return_index=True, return_inverse=True, return_counts=True
        )
        ending = np.full(len(tokens), -1, dtype=np.int64)
        ending[ends] = number
        keys.append(unique)
        numbers.append(ending)
        firsts.append(ends[first])
        occurrences.append(count)
        history = np.concatenate([[-1], ending[:-1]])
    orders = []
    for n in range(1, order + 1):
        # Below the highest order an n-gram counts once for each distinct (n+1)-gram that ends with it.
        counts = occurrences[-1] if n == order else np.bincount(numbers[n - 1][firsts[n]], minlength=len(keys[n - 1]))
        histories = len(keys[n - 2]) if n > 1 else 1
        orders.append(_order(keys[n - 1], counts, histories, vocab_size))
    return Model(tuple(orders), vocab_size)


def log_probs(model: Model, token_ids: Sequence[int] | Ints) -> Floats:
    """Natural-log probability of each token but the first, given those before it: shape (T - 1,) for (T,)."""
    tokens = _checked(token_ids, model.vocab_size)
    probabilities = np.full(len(tokens), 1 / model.vocab_size)
    history = np.zeros(len(tokens), dtype=np.int64)  # -1: not seen in training, or before the first token
    for order in model.orders:
        known = history >= 0
        place, found = _find(order.keys, np.where(known, history * model.vocab_size + tokens, -1))
        counts = np.where(found, order.counts[place], 0)
        total = np.where(known, order.totals[history], 0)
        freed = np.where(total > 0, order.backoff[history], 1.0)
        discounted = np.where(counts > 0, counts - order.discounts[np.minimum(counts, 3)], 0.0)
        probabilities = discounted / np.maximum(total, 1) + freed * probabilities
        history = np.concatenate([[-1], np.where(found, place, -1)[:-1]])
    logarithms: Floats = np.log(probabilities[1:])
    return logarithms


def loss(model: Model, token_ids: Sequence[int] | Ints) -> float:
    """Mean loss in nats a token over `token_ids`, shape (T,), the first of which is given. Raises ValueError below two."""
    if len(token_ids) < 2:
        raise ValueError("a loss needs at least two tokens: the first is given")
    return -float(log_probs(model, token_ids).mean())


def estimate_discounts(counts: Ints) -> Floats:
    """What is taken from counts of 0, 1, 2, and 3 and more: shape (4,) (Chen and Goodman 1999, section 3.3).

    A small or odd corpus has no such estimate: no n-gram occurs 2 or 3 times, or a discount lies outside 0 to its count. All
    are then Ney's single discount n1 / (n1 + 2 n2), or one half where no n-gram occurs once: every token keeps some mass.
    """
    once, twice, thrice, four_times = (int(np.count_nonzero(counts == times)) for times in (1, 2, 3, 4))
    single = once / (once + 2 * twice) if once else 0.5
    if once and twice and thrice:
        three = np.array(
            [1 - 2 * single * twice / once, 2 - 3 * single * thrice / twice, 3 - 4 * single * four_times / thrice]
        )
        if np.all(three > 0) and np.all(three <= [1, 2, 3]):
            return np.concatenate([[0.0], three])
    return np.array([0.0, single, single, single])


def _order(keys: Ints, counts: Ints, histories: int, vocab_size: int) -> Order:
    history = keys // vocab_size
    discounts = estimate_discounts(counts)
    totals = np.bincount(history, weights=counts, minlength=histories).astype(np.int64)
    freed = np.bincount(history, weights=discounts[np.minimum(counts, 3)], minlength=histories)
    return Order(keys, counts, discounts, totals, freed / np.maximum(totals, 1))


def _find(keys: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """The place of each of `wanted` in the sorted `keys`, and whether it is there."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


def _checked(token_ids: Sequence[int] | Ints, vocab_size: int) -> Ints:
    tokens = np.asarray(token_ids, dtype=np.int64)
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise ValueError(f"token ids from {tokens.min()} to {tokens.max()} do not fit a vocabulary of {vocab_size}")
    return tokens
