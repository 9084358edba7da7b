"""Table 10: the languages of documents, by fastText's identification of each whole document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from paddock.statistics import wilson_interval

LISTED_FROM: Final = 0.00005
"""The share of documents from which table 10 lists a language: 0.005%."""
MODEL: Final = "fastText lid.176.ftz"


def count(languages: Sequence[str]) -> Counter[str]:
    """Documents by language."""
    return Counter({f"language/{code}": documents for code, documents in Counter(languages).items()})


def table(counts: Counter[str], threshold: float) -> dict[str, Any]:
    """Table 10: languages by their share of all documents, the commonest first; rarer than 0.005% summed as `rarer`."""
    found = {key.removeprefix("language/"): n for key, n in counts.items() if key.startswith("language/")}
    total = sum(found.values())
    listed = sorted((code for code, n in found.items() if n >= LISTED_FROM * total), key=lambda code: (-found[code], code))
    return {
        "documents": total,
        "model": MODEL,
        "threshold": threshold,
        "languages": {
            code: {"documents": found[code], "of_all": wilson_interval(found[code], total).as_row()} for code in listed
        },
        "rarer": {"languages": len(found) - len(listed), "documents": total - sum(found[code] for code in listed)},
    }
