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
    """How many different hashes the files hold, 8 bytes each, `total` in all: by ranges, so that memory stays bounded.

    Two of n different texts share a hash with a chance of n² / 2⁶⁵: one in a million for six million texts.
    """
    ranges = -(-total // HASHES_IN_MEMORY)
    found = 0
    for step in range(ranges):
        low, high = (2**64 * edge // ranges for edge in (step, step + 1))
        found += len(np.unique(np.concatenate([_within(np.fromfile(file, np.uint64), low, high) for file in files])))
    return found


def _within(hashes: NDArray[np.uint64], low: int, high: int) -> NDArray[np.uint64]:
    return hashes[(hashes >= np.uint64(low)) & (hashes <= np.uint64(high - 1))]


def table(total: int, different: int) -> dict[str, Any]:
    """How many documents repeat an earlier one."""
    repeated = total - different
    return {"documents": total, "distinct": different, "repeated": wilson_interval(repeated, total).as_row()}
