"""Table 9a: documents with pronouns of a gender or a grammatical person (lists of appendix A.4.3)."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.safety.corpus.lexicon import Term, in_any
from paddock.statistics import wilson_interval

VERSION: Final = "Llama 2, appendix A.4.3"
WORDS: Final = {
    "she": "she her hers herself",
    "he": "he him his himself",
    "unspecified": "they them their theirs theirself themself themselves",
    "first": "I me my mine myself we us our ours ourselves",
    "second": "you your yours yourself yourselves",
    "it": "it its itself",
}
BITS: Final = {name: bit for bit, name in enumerate(WORDS)}
GENDERS: Final = ("she", "he", "unspecified")
UNIONS: Final = {
    **{name: (name,) for name in ("she", "he", "unspecified", "first", "second")},
    "gendered": GENDERS,
    "third": (*GENDERS, "it"),
    "any": tuple(WORDS),
}
WHOLES: Final = {
    "gendered": ("she", "he", "unspecified"),
    "any": ("first", "second", "third"),
}
"""The rows that table 9a gives within the documents of each whole."""


def terms() -> list[Term]:
    """Every pronoun with the bit of its group; case does not matter."""
    return [Term(word, 1 << BITS[name]) for name, words in WORDS.items() for word in words.split()]


def count(groups: NDArray[np.uint64]) -> Counter[str]:
    """Documents by group and by union of groups, of `groups` (documents,) as `Lexicon.find` gives them."""
    return Counter({f"pronouns/{name}": in_any(groups, [BITS[part] for part in parts]) for name, parts in UNIONS.items()})


def table(counts: Counter[str]) -> dict[str, Any]:
    """Table 9a: each row's documents with its share of all documents; the sub-rows also within those of their whole."""
    total = counts["measured"]
    rows: dict[str, Any] = {"documents": total, "lists": VERSION}
    for name in UNIONS:
        found = counts[f"pronouns/{name}"]
        rows[name] = {"documents": found, "of_all": wilson_interval(found, total).as_row()}
    for whole, parts in WHOLES.items():
        for part in parts:
            within = wilson_interval(rows[part]["documents"], rows[whole]["documents"])
            rows[part][f"within_{whole}"] = within.as_row()
    return rows
