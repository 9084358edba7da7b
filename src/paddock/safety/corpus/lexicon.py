"""Terms to look for, made into the tables of the one pass over the text.

What a word is: a run of letters, or a run of digits; letters beyond ASCII and the marks on them are letters. A term stands
where it is not cut out of such a run: `he` stands in "he's" and "he2", not in "the" or "hé". Case is that of ASCII.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paddock.safety.corpus.batch import Batch

KEY_BYTES = 8
Overlap = Literal["all", "longest"]
Hyphens = Literal["as written", "or space"]


@dataclass(frozen=True)
class Term:
    """A word or phrase, and the groups that a document belongs to which holds it (bits). `exact` terms keep their case."""

    text: str
    groups: int
    exact: bool = False


class Found(NamedTuple):
    """What one pass finds: each document's groups (bits), words, and whether it has a number of some length, all of shape
    (documents,); and the documents of each term, (terms,)."""

    groups: NDArray[np.uint64]
    words: NDArray[np.int64]
    has_number: NDArray[np.bool_]
    term_documents: NDArray[np.int64]


class Tables(NamedTuple):
    """Terms in order of the slot of their first word: `slots[slot]` is a number k, terms `firsts[k]` to `firsts[k + 1]`.

    Term t, numbered `order[t]` by the user, is `text[offsets[t]:offsets[t + 1]]`.
    """

    order: NDArray[np.int64]
    slots: NDArray[np.int16]
    firsts: NDArray[np.int64]
    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    groups: NDArray[np.uint64]
    exact: NDArray[np.bool_]


@dataclass(frozen=True)
class Lexicon:
    """Terms, and how they are matched: the choices that the paper leaves open.

    `overlap` "all" counts "american" in "native american" too, "longest" only the longest term at a place, going on behind
    it. `hyphens` "or space" takes hyphen and white space in a term for each other.
    """

    terms: tuple[Term, ...]
    overlap: Overlap = "all"
    hyphens: Hyphens = "as written"

    def find(self, batch: Batch, counted: NDArray[np.bool_] | None = None) -> Found:
        """Look for the terms in the documents of `batch` (those `counted`, a mask of shape (documents,), or all)."""
        from paddock.safety.corpus import kernels

        data, offsets = batch.buffers
        searched = np.ones(len(batch.texts), np.bool_) if counted is None else counted
        tables = self._tables
        groups, words, has_number, in_order = kernels.count_terms(
            data,
            offsets,
            searched,
            *character_tables(),
            tables.slots,
            tables.firsts,
            tables.text,
            tables.offsets,
            tables.groups,
            tables.exact,
            self.hyphens == "or space",
            self.overlap == "longest",
        )
        term_documents = np.empty_like(in_order)
        term_documents[tables.order] = in_order
        return Found(groups, words, has_number, term_documents)

    @cached_property
    def _tables(self) -> Tables:
        from paddock.safety.corpus import kernels

        encoded = [(term.text if term.exact else _lower(term.text)).encode() for term in self.terms]
        found = [slot_of(_first_word(_lower(term.text))) for term in self.terms]
        order = sorted(range(len(self.terms)), key=found.__getitem__)
        used = sorted(set(found))
        slots = np.full(2**kernels.SLOT_BITS, -1, np.int16)
        slots[used] = np.arange(len(used))
        return Tables(
            np.array(order, np.int64),
            slots,
            np.searchsorted([found[place] for place in order], [*used, len(slots)]).astype(np.int64),
            np.frombuffer(b"".join(encoded[place] for place in order) + b"\0", np.uint8),  # never empty
            np.cumsum([0, *(len(encoded[place]) for place in order)]).astype(np.int64),
            np.array([self.terms[place].groups for place in order], np.uint64),
            np.array([self.terms[place].exact for place in order], np.bool_),
        )


def slot_of(run: str) -> int:
    """The slot of a run of letters or digits in lower case, as the kernel works it out from its first bytes of ASCII."""
    from paddock.safety.corpus import kernels

    first = "".join(takewhile(str.isascii, run))[:KEY_BYTES]
    return int(kernels.slot_of(np.uint64(int.from_bytes(first.encode(), "little"))))


@cache
def character_tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """For each byte its class; for each character up to U+FFFF whether it is a letter; for each byte its lower case."""
    from paddock.safety.corpus import kernels

    classes = np.full(256, kernels.WIDE, np.uint8)
    for byte in range(128):
        classes[byte] = kernels.LETTER if chr(byte).isalpha() else kernels.DIGIT if chr(byte).isdigit() else kernels.OTHER
    letters = np.array([kernels.LETTER if is_letter(chr(point)) else kernels.OTHER for point in range(2**16)], np.uint8)
    fold = np.arange(256, dtype=np.uint8)
    fold[ord("A") : ord("Z") + 1] += 32
    return classes, letters, fold


def is_letter(character: str) -> bool:
    """A letter, or a mark upon one (an accent written apart); not the marks that choose how an emoji is drawn."""
    category = unicodedata.category(character)
    return category[0] == "L" or (category in ("Mn", "Mc") and not "\ufe00" <= character <= "\ufe0f")


def _lower(text: str) -> str:
    """Lower case of ASCII letters alone, as the kernel folds them."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)


def _first_word(text: str) -> str:
    """The run of letters or digits that a term begins with."""
    if not text or not (text[0].isdigit() or is_letter(text[0])):
        raise ValueError(f"a term begins with a letter or a digit: {text!r}")
    end = 1
    while end < len(text) and (text[end].isdigit() if text[0].isdigit() else is_letter(text[end])):
        end += 1
    return text[:end]


def in_any(groups: NDArray[np.uint64], bits: Sequence[int]) -> int:
    """How many of the documents are in any of the groups numbered `bits`."""
    return int(np.count_nonzero(groups & np.uint64(sum(1 << bit for bit in bits))))
