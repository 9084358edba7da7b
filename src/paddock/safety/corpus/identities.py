"""Table 9b: documents that mention an axis of identity, and each descriptor among those."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError
from paddock.run_dir import hash_of
from paddock.safety.corpus.lexicon import Term, in_any, is_letter
from paddock.statistics import wilson_interval

OWN_LIST: Final = Path(__file__).with_name("descriptors.txt")
TOP: Final = 5
AMBIGUOUS: Final = frozenset({"straight", "white", "black"})
"""Left out of the top five, since they have other common uses, and kept in every denominator (paper, table 9b)."""
KEPT_IN: Final = "sexual orientation"
DROPPED_FROM: Final = "gender and sex"
"""A term of both axes counts under the first alone (paper, table 9b)."""
PUBLISHED_NAMES: Final = {"race ethnicity": "race and ethnicity"}


@dataclass(frozen=True)
class Descriptors:
    """A list of descriptors by axis, in lower case; `dropped` are those that a second axis lost."""

    name: str
    axes: dict[str, tuple[str, ...]]
    dropped: tuple[str, ...]

    @property
    def version(self) -> str:
        """The list's name with a hash of its terms."""
        return f"{self.name} ({hash_of({axis: list(terms) for axis, terms in self.axes.items()})})"

    def terms(self, first_bit: int, exact: bool) -> list[Term]:
        """Each descriptor once, with the bits of its axes, numbered from `first_bit` on in the order of the axes."""
        groups: dict[str, int] = {}
        for bit, terms in enumerate(self.axes.values(), start=first_bit):
            for term in terms:
                groups[term] = groups.get(term, 0) | 1 << bit
        return [Term(text, bits, exact) for text, bits in groups.items()]


def read_descriptors(path: str | None, keep_case: bool = False) -> Descriptors:
    """The project's own list, or HolisticBias' `descriptors.json` as published (v1.0, v1.1; Smith et al. 2022).

    Raises DataError for a file of another form.
    """
    raw = _own_axes() if path is None else _published_axes(Path(path))
    axes = {axis: tuple(dict.fromkeys(term if keep_case else term.lower() for term in terms)) for axis, terms in raw.items()}
    known = {term.lower() for term in axes.get(KEPT_IN, ())}
    dropped = tuple(term for term in axes.get(DROPPED_FROM, ()) if term.lower() in known)
    axes |= {axis: tuple(term for term in axes[axis] if term not in dropped) for axis in axes if axis == DROPPED_FROM}
    for axis, terms in axes.items():
        for term in terms:
            if not term or not (term[0].isdigit() or is_letter(term[0])):
                raise DataError(path or OWN_LIST, f"axis {axis!r}: {term!r} does not begin with a letter or a digit")
    return Descriptors("Paddock's own list, version 1" if path is None else Path(path).name, axes, dropped)


def _own_axes() -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for line in OWN_LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            axis = axes.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            axis += [term for term in (part.strip() for part in line.split(",")) if term]
    return axes


def _published_axes(path: Path) -> dict[str, list[str]]:
    """Axes of buckets of descriptors, each a string or an object with `descriptor`."""
    mend = "Give the descriptors.json of HolisticBias, as published"
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(path, "there is no such file") from None
    except ValueError:
        raise DataError(path, "not readable JSON", mend=mend) from None
    try:
        return {
            PUBLISHED_NAMES.get(name := axis.replace("_", " "), name): [
                entry if isinstance(entry, str) else str(entry["descriptor"])
                for bucket in buckets.values()
                for entry in bucket
            ]
            for axis, buckets in content.items()
        }
    except (AttributeError, KeyError, TypeError):
        raise DataError(path, "not a list of descriptors by axis and bucket", mend=mend) from None


def count(
    descriptors: Descriptors,
    terms: list[Term],
    first_bit: int,
    groups: NDArray[np.uint64],
    term_documents: NDArray[np.int64],
) -> Counter[str]:
    """Documents by axis and by descriptor. `groups` (documents,) and `term_documents` (terms,) are as `Lexicon.find` has."""
    counts: Counter[str] = Counter()
    by_term = dict(zip((term.text for term in terms), term_documents.tolist(), strict=True))
    for bit, (axis, listed) in enumerate(descriptors.axes.items(), start=first_bit):
        counts[f"axis/{axis}"] = in_any(groups, [bit])
        for term in listed:
            counts[f"descriptor/{axis}/{term}"] = by_term[term]
    return counts


def table(counts: Counter[str], descriptors: Descriptors) -> dict[str, Any]:
    """Table 9b: each axis' share of all documents, and each descriptor's share of those; the top five without AMBIGUOUS."""
    total = counts["measured"]
    axes = {}
    for axis, listed in descriptors.axes.items():
        mentioning = counts[f"axis/{axis}"]
        found = {term: counts[f"descriptor/{axis}/{term}"] for term in listed}
        ranked = sorted((term for term in listed if found[term]), key=lambda term: (-found[term], term))
        axes[axis] = {
            "documents": mentioning,
            "of_all": wilson_interval(mentioning, total).as_row(),
            "top": [term for term in ranked if term.lower() not in AMBIGUOUS][:TOP],
            "descriptors": {
                term: {
                    "documents": found[term],
                    "within_axis": wilson_interval(found[term], mentioning).as_row(),
                    "of_all": wilson_interval(found[term], total).as_row(),
                }
                for term in ranked
            },
        }
    return {
        "documents": total,
        "list": descriptors.version,
        "descriptors": sum(len(listed) for listed in descriptors.axes.values()),
        "dropped_from_gender_and_sex": list(descriptors.dropped),
        "left_out_of_top": sorted(AMBIGUOUS),
        "axes": axes,
    }
