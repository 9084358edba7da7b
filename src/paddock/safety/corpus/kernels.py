"""The loops over the bytes of documents, compiled by numba. The machine code is kept beside this file (or in the user's
cache), so that only the first run of a version compiles.

Text is taken 64 bytes at a time: what each byte is comes out as bits of a 64-bit number, so that words are found with a few
operations for all of them, and a branch is taken only where a word could begin a term. Of a word only its first eight
letters or digits matter there: one number, its key.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

OTHER: Final = 0
LETTER: Final = 1
DIGIT: Final = 2
WIDE: Final = 3  # a byte of a character beyond ASCII
CLUSTER_GAP: Final = 3  # bytes at most between the digit runs of one number, such as ") " in a telephone number
NUMBER_DIGITS: Final = 7
NUMBER_RUNS: Final = 4
SPACE: Final = 32
HYPHEN: Final = 45
BLOCK: Final = 64  # bytes taken at a time; a buffer ends with as many that belong to no document
SLOT_BITS: Final = 14
SPREAD: Final = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: spreads keys over slots (Knuth, vol. 3, 6.4)

# Eight bytes in one number: a byte's high bit is its mark.
HIGH_BITS: Final = np.uint64(0x8080808080808080)
LOW_BITS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
LOWER_CASE: Final = np.uint64(0x2020202020202020)
FROM_A: Final = np.uint64(0x1F1F1F1F1F1F1F1F)  # what lifts "a" to the high bit, and so on
BEHIND_Z: Final = np.uint64(0x0505050505050505)
FROM_0: Final = np.uint64(0x5050505050505050)
BEHIND_9: Final = np.uint64(0x4646464646464646)
TOGETHER: Final = np.uint64(0x0102040810204080)  # a product with it gathers eight marks in its highest byte
ONE: Final = np.uint64(1)
ALL: Final = np.uint64(2**64 - 1)

compiled = numba.njit(cache=True, nogil=True, boundscheck=False)


def _trailing_zeros(_: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return numba.int64(numba.uint64), generate


def _population_count(_: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.int64(numba.uint64), generate


_lowest_bit: Any = intrinsic(_trailing_zeros)  # the processor's instruction: the number of the lowest bit that is set
_bits_set: Any = intrinsic(_population_count)  # how many bits are set


@compiled
def _letters_of(eight: np.uint64) -> np.uint64:
    """The marks of the ASCII letters among eight bytes."""
    lower = (eight | LOWER_CASE) & LOW_BITS
    return (lower + FROM_A) & ~(lower + BEHIND_Z) & ~eight & HIGH_BITS


@compiled
def _digits_of(eight: np.uint64) -> np.uint64:
    """The marks of the ASCII digits among eight bytes."""
    low = eight & LOW_BITS
    return (low + FROM_0) & ~(low + BEHIND_9) & ~eight & HIGH_BITS


@compiled
def _gathered(marks: np.uint64) -> np.uint64:
    """The marks of eight bytes as the lowest eight bits."""
    return ((marks >> np.uint64(7)) * TOGETHER) >> np.uint64(56)


@compiled
def _key_of_run(eights: NDArray[np.uint64], begin: int, end: int, is_digit: bool) -> np.uint64:
    """The key of the run that begins at a byte: its ASCII letters or digits, up to the eighth, in lower case."""
    shift = np.uint64((begin & 7) * 8)
    eight = eights[begin >> 3] >> shift | eights[(begin >> 3) + 1] << (np.uint64(56) - shift) << np.uint64(8)
    if end - begin < 8:
        eight &= (ONE << np.uint64(8 * (end - begin))) - ONE
    others = ~(_digits_of(eight) if is_digit else _letters_of(eight)) & HIGH_BITS
    key: np.uint64 = (eight | LOWER_CASE) & (((others & (~others + ONE)) >> np.uint64(7)) - ONE)
    return key


@compiled
def slot_of(key: np.uint64) -> np.uint64:
    """The slot that a key falls in."""
    return (key * np.uint64(SPREAD)) >> np.uint64(64 - SLOT_BITS)


@compiled
def _class_at(data: Bytes, place: int, end: int, classes: Bytes, is_wide_letter: Bytes) -> int:
    """The class of the character that begins at `place`, and its length: class + 4 * bytes; 0 at the end."""
    if place >= end:
        return 0
    byte = data[place]
    kind = int(classes[byte])
    if kind != WIDE:
        return kind + 4
    if byte < 0xE0:
        point, size = (int(byte) & 0x1F) << 6 | (int(data[place + 1]) & 0x3F), 2
    elif byte < 0xF0:
        middle = int(data[place + 1]) & 0x3F
        point, size = (int(byte) & 0x0F) << 12 | middle << 6 | (int(data[place + 2]) & 0x3F), 3
    else:
        return OTHER + 16
    return int(is_wide_letter[point]) + 4 * size


@compiled
def _end_of_match(
    data: Bytes, place: int, end: int, term: Bytes, begin: int, stop: int, fold: Bytes, exact: bool, loose_hyphens: bool
) -> int:
    """Where the term that is `term[begin:stop]` ends if it stands at `place`, else -1. A space in it matches white space."""
    while begin < stop:
        wanted = term[begin]
        begin += 1
        if wanted == SPACE or (loose_hyphens and wanted == HYPHEN):
            first = place
            if loose_hyphens and place < end and data[place] == HYPHEN:
                place += 1
            else:
                while place < end and (data[place] == SPACE or 9 <= data[place] <= 13):
                    place += 1
            if place == first:
                return -1
        elif place < end and (data[place] if exact else fold[data[place]]) == wanted:
            place += 1
        else:
            return -1
    return place


@compiled
def count_terms(  # noqa: PLR0912, PLR0915 (one loop, whose parts share a dozen counters)
    data: Bytes,
    offsets: Ints,
    counted: NDArray[np.bool_],
    classes: Bytes,
    is_wide_letter: Bytes,
    fold: Bytes,
    slots: NDArray[np.int16],
    firsts: Ints,
    term_bytes: Bytes,
    term_offsets: Ints,
    term_groups: NDArray[np.uint64],
    term_exact: NDArray[np.bool_],
    loose_hyphens: bool,
    longest_only: bool,
) -> tuple[NDArray[np.uint64], Ints, NDArray[np.bool_], Ints]:
    """One pass over documents: which groups of terms each holds (bits), its words, whether a long number stands in it (seven
    digits or four runs of digits close together), and how many documents hold each term.

    Document d is `data[offsets[d]:offsets[d + 1]]`, UTF-8, of a buffer as `Batch.buffers` has it; terms are looked for where
    `counted[d]`. A word is a run of letters or a run of digits; only where `slots` knows its key are the terms that begin so
    compared. `longest_only` takes the longest term at a place and goes on behind it.
    """
    documents, eights = len(offsets) - 1, data.view(np.uint64)
    groups = np.zeros(documents, np.uint64)
    words = np.zeros(documents, np.int64)
    has_number = np.zeros(documents, np.bool_)
    term_documents = np.zeros(len(term_groups), np.int64)
    last_seen = np.full(len(term_groups), -1, np.int64)
    for document in range(documents):
        first, end = offsets[document], offsets[document + 1]
        found, word_count, free_from, searched = np.uint64(0), 0, first, counted[document]
        letter_before, digit_before = np.uint64(0), np.uint64(0)
        cluster_end, cluster_digits, cluster_runs = first - CLUSTER_GAP - 1, 0, 0
        for block in range(first & ~(BLOCK - 1), end, BLOCK):
            letters, digits, wide = np.uint64(0), np.uint64(0), np.uint64(0)
            for part in range(8):
                eight, shift = eights[(block >> 3) + part], np.uint64(8 * part)
                letters |= _gathered(_letters_of(eight)) << shift
                digits |= _gathered(_digits_of(eight)) << shift
                wide |= _gathered(eight & HIGH_BITS) << shift
            inside = ALL
            if block < first:
                inside <<= np.uint64(first - block)
            if block + BLOCK > end:
                inside &= ALL >> np.uint64(block + BLOCK - end)
            letters, digits, wide = letters & inside, digits & inside, wide & inside
            while wide:
                place = lead = block + _lowest_bit(wide)
                while data[lead] & 0xC0 == 0x80:  # a character that began in the block before
                    lead -= 1
                packed = _class_at(data, lead, end, classes, is_wide_letter)
                character = ((ONE << np.uint64(lead + (packed >> 2) - place)) - ONE) << np.uint64(place - block)
                if packed & 3 == LETTER:
                    letters |= character & inside
                wide &= ~character
            starts = letters & ~(letters << ONE | letter_before) | digits & ~(digits << ONE | digit_before)
            letter_before, digit_before = letters >> np.uint64(63), digits >> np.uint64(63)
            word_count += _bits_set(starts)
            while starts:
                begin = block + _lowest_bit(starts)
                starts &= starts - ONE
                is_digit = digits >> np.uint64(begin - block) & ONE != 0
                if is_digit:
                    place = begin
                    while place < end and classes[data[place]] == DIGIT:
                        place += 1
                    if begin - cluster_end > CLUSTER_GAP:
                        cluster_digits, cluster_runs = 0, 0
                    cluster_digits, cluster_runs, cluster_end = cluster_digits + place - begin, cluster_runs + 1, place
                    if cluster_digits >= NUMBER_DIGITS or cluster_runs >= NUMBER_RUNS:
                        has_number[document] = True
                slot = slots[slot_of(_key_of_run(eights, begin, end, is_digit))]
                if slot < 0 or not searched or begin < free_from:
                    continue
                longest, longest_term = begin, -1
                for term in range(firsts[slot], firsts[slot + 1]):
                    if last_seen[term] == document and not longest_only:
                        continue
                    begins, ends, exact = term_offsets[term], term_offsets[term + 1], term_exact[term]
                    stop = _end_of_match(data, begin, end, term_bytes, begins, ends, fold, exact, loose_hyphens)
                    if (
                        stop < 0
                        or (longest_only and stop <= longest)
                        or _cuts_a_run(data, stop, end, classes, is_wide_letter)
                    ):
                        continue
                    if longest_only:
                        longest, longest_term, free_from = stop, term, stop
                    else:
                        last_seen[term] = document
                        term_documents[term] += 1
                        found |= term_groups[term]
                if longest_term >= 0 and last_seen[longest_term] != document:
                    last_seen[longest_term] = document
                    term_documents[longest_term] += 1
                    found |= term_groups[longest_term]
        groups[document], words[document] = found, word_count
    return groups, words, has_number, term_documents


@compiled
def _cuts_a_run(data: Bytes, stop: int, end: int, classes: Bytes, is_wide_letter: Bytes) -> bool:
    """Whether a term that ends before `stop` ends within a run of letters or of digits."""
    if stop >= end:
        return False
    last = classes[data[stop - 1]]
    following = _class_at(data, stop, end, classes, is_wide_letter) & 3
    if last == WIDE:  # terms end in letters, also beyond ASCII
        return following == LETTER
    return bool(last != OTHER and following == last)


@compiled
def word_hashes(data: Bytes, offsets: Ints, classes: Bytes, is_wide_letter: Bytes, fold: Bytes) -> tuple[Ints, Ints]:
    """The words of documents as 64-bit hashes, and where each document's begin: words are the tokens where there is no
    tokenizer."""
    hashes = np.empty(len(data) // 2 + len(offsets), np.int64)
    starts = np.zeros(len(offsets), np.int64)
    count = 0
    for document in range(len(offsets) - 1):
        place, end = offsets[document], offsets[document + 1]
        while place < end:
            packed = _class_at(data, place, end, classes, is_wide_letter)
            kind = packed & 3
            if kind == OTHER:
                place += packed >> 2
                continue
            hashed = np.uint64(14695981039346656037)
            while packed & 3 == kind:
                for _ in range(packed >> 2):
                    hashed = (hashed ^ np.uint64(fold[data[place]])) * np.uint64(1099511628211)
                    place += 1
                packed = _class_at(data, place, end, classes, is_wide_letter)
            hashes[count] = np.int64(hashed)
            count += 1
        starts[document + 1] = count
    return hashes[:count], starts
