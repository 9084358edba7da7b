"""Exact duplicates: documents whose text another document has, to the last byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.statistics import wilson_interval

HASHES_IN_MEMORY: Final = 2**23  # 64 MiB of hashes sorted at once


def distinct(files: Sequence[Path], total: int) -> int:
    """How many different hashes the files hold, 8 bytes each and in order, `total` in all: by ranges, so that memory stays
    bounded, each of which is a slice of every file, so that all is read once.

    Two of n different texts share a hash with a chance of n² / 2⁶⁵: one in a million for six million texts.
    """
    ranges = -(-total // HASHES_IN_MEMORY)
    found = 0
    for step in range(ranges):
        low, high = (2**64 * edge // ranges for edge in (step, step + 1))
        found += len(np.unique(np.concatenate([_within(file, low, high) for file in files])))
    return found


def _within(file: Path, low: int, high: int) -> NDArray[np.uint64]:
    hashes = np.memmap(file, np.uint64, "r")
    begin, end = np.searchsorted(hashes, np.uint64(low), "left"), np.searchsorted(hashes, np.uint64(high - 1), "right")
    return np.array(hashes[begin:end])  # a copy, so that not every file stays mapped


def table(total: int, different: int) -> dict[str, Any]:
    """How many documents repeat an earlier one."""
    repeated = total - different
    return {"documents": total, "distinct": different, "repeated": wilson_interval(repeated, total).as_row()}
