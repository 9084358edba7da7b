"""The search for runs of tokens that a document shares with a benchmark, as loops compiled by numba (paper, A.6)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from paddock.safety.corpus.kernels import Ints, compiled

SEED_TOKENS: Final = 10  # a match begins with so many equal tokens


@compiled
def seed_hash(tokens: Ints, place: int) -> np.uint64:
    """A hash of the ten tokens from `place` on."""
    hashed = np.uint64(0)
    for ahead in range(SEED_TOKENS):
        hashed = (hashed + np.uint64(tokens[place + ahead])) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


@compiled
def link_seeds(tokens: Ints, offsets: Ints, heads: Ints, links: Ints) -> None:
    """Fill the table of all runs of ten tokens within a sample: `heads[hash]` is the last place, `links[place]` the next."""
    mask = np.uint64(len(heads) - 1)
    for sample in range(len(offsets) - 1):
        for place in range(offsets[sample], offsets[sample + 1] - SEED_TOKENS + 1):
            slot = seed_hash(tokens, place) & mask
            links[place] = heads[slot]
            heads[slot] = place


@compiled
def mark_matches(
    tokens: Ints,
    offsets: Ints,
    sample_tokens: Ints,
    sample_begins: Ints,
    sample_ends: Ints,
    heads: Ints,
    links: Ints,
    budget: int,
    longest: NDArray[np.int32],
) -> None:
    """Raise `longest[t]` to the length of the longest match with a document that covers token t of the samples.

    A match begins with ten equal tokens, goes on token by token with at most `budget` mismatches, and ends on an equal one.
    `sample_begins[t]` and `sample_ends[t]` bound the sample of token t.
    """
    mask = np.uint64(len(heads) - 1)
    for document in range(len(offsets) - 1):
        first, end = offsets[document], offsets[document + 1]
        for place in range(first, end - SEED_TOKENS + 1):
            start = heads[seed_hash(tokens, place) & mask]
            while start >= 0:
                if _begins_a_match(tokens, place, first, sample_tokens, start, sample_begins[start]):
                    last, mismatches, ahead = 0, 0, 0
                    while place + ahead < end and start + ahead < sample_ends[start]:
                        if tokens[place + ahead] == sample_tokens[start + ahead]:
                            last = ahead
                        else:
                            mismatches += 1
                            if mismatches > budget:
                                break
                        ahead += 1
                    for covered in range(start, start + last + 1):
                        longest[covered] = max(longest[covered], last + 1)
                start = links[start]


@compiled
def _begins_a_match(tokens: Ints, place: int, first: int, sample: Ints, start: int, sample_first: int) -> bool:
    """Whether ten tokens are equal from here on, and those before them differ: else an earlier, longer match covers it."""
    if place > first and start > sample_first and tokens[place - 1] == sample[start - 1]:
        return False
    for ahead in range(SEED_TOKENS):  # numba compiles no generator within all()
        if tokens[place + ahead] != sample[start + ahead]:
            break
    else:
        return True
    return False
