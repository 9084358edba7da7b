"""Documents, bytes, words, tokens, and how documents are spread by length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count(sizes: NDArray[np.int64], words: NDArray[np.int64], tokens: NDArray[np.int64] | None) -> Counter[str]:
    """Sums over documents, and documents by the power of two of their words. All of shape (documents,); sizes in bytes."""
    counts = Counter({"documents": len(sizes), "bytes": int(sizes.sum()), "words": int(words.sum())})
    if tokens is not None:
        counts["tokens"] = int(tokens.sum())
    powers = np.frexp(words.astype(np.float64))[1]  # 0 for 0 words, 1 for 1, 2 for 2 and 3, 3 for 4 to 7, ...
    for power, documents in zip(*np.unique(powers, return_counts=True), strict=True):
        counts[f"length/{power}"] = int(documents)
    return counts


def table(counts: Counter[str]) -> dict[str, Any]:
    """The sums, and `lengths`: documents of `from` to `to` words."""
    powers = range(max((int(key.removeprefix("length/")) for key in counts if key.startswith("length/")), default=-1) + 1)
    sums = {key: counts[key] for key in ("documents", "bytes", "words", "tokens") if key in counts or key != "tokens"}
    return {
        **sums,
        "skipped": _under(counts, "skipped/"),
        "lengths": [
            {"from": 2 ** (power - 1) if power else 0, "to": 2**power - 1, "documents": counts[f"length/{power}"]}
            for power in powers
        ],
    }


def _under(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): n for key, n in sorted(counts.items()) if key.startswith(prefix)}
