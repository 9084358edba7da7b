"""The loops over bytes and tokens, compiled by numba: nothing else in this folder imports it.

The machine code is kept beside this file (or in the user's cache), so that only the first run of a version compiles.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

OTHER: Final = 0
LETTER: Final = 1
DIGIT: Final = 2
CLUSTER_GAP: Final = 3  # bytes at most between the digit runs of one number, such as ") " in a telephone number
NUMBER_DIGITS: Final = 7
NUMBER_RUNS: Final = 4
WIDE: Final = 3  # a byte of a character beyond ASCII
SPACE: Final = 32
HYPHEN: Final = 45
SEED_TOKENS: Final = 10  # a match begins with so many equal tokens (paper, A.6)

compiled = numba.njit(cache=True, nogil=True, boundscheck=False)


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
def count_terms(  # noqa: PLR0912, PLR0915 (one loop: a function for a part of it costs two thirds of the speed)
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

    Document d is `data[offsets[d]:offsets[d + 1]]`, UTF-8; terms are looked for where `counted[d]`. A word is a run of
    letters or a run of digits; each is hashed, and only where `slots` knows the hash are the terms that begin so compared.
    `longest_only` takes the longest term at a place and goes on behind it.
    """
    documents, mask = len(offsets) - 1, np.uint64(len(slots) - 1)
    groups = np.zeros(documents, np.uint64)
    words = np.zeros(documents, np.int64)
    has_number = np.zeros(documents, np.bool_)
    term_documents = np.zeros(len(term_groups), np.int64)
    last_seen = np.full(len(term_groups), -1, np.int64)
    for document in range(documents):
        place, end = offsets[document], offsets[document + 1]
        found, word_count, free_from, searched = np.uint64(0), 0, place, counted[document]
        cluster_end, cluster_digits, cluster_runs = place - CLUSTER_GAP - 1, 0, 0
        while place < end:
            kind = classes[data[place]]
            if kind == OTHER:
                place += 1
                continue
            if kind == WIDE:
                packed = _class_at(data, place, end, classes, is_wide_letter)
                if packed & 3 == OTHER:
                    place += packed >> 2
                    continue
                kind = np.uint8(LETTER)
            begin, hashed = place, np.uint64(0)
            while place < end:
                byte = data[place]
                here = classes[byte]
                if here == kind:
                    hashed = (hashed << np.uint64(5)) + hashed ^ np.uint64(fold[byte])
                    place += 1
                elif here == WIDE and kind == LETTER:
                    packed = _class_at(data, place, end, classes, is_wide_letter)
                    if packed & 3 == OTHER:
                        break
                    for _ in range(packed >> 2):
                        hashed = (hashed << np.uint64(5)) + hashed ^ np.uint64(data[place])
                        place += 1
                else:
                    break
            word_count += 1
            if kind == DIGIT:
                if begin - cluster_end > CLUSTER_GAP:
                    cluster_digits, cluster_runs = 0, 0
                cluster_digits, cluster_runs, cluster_end = cluster_digits + place - begin, cluster_runs + 1, place
                if cluster_digits >= NUMBER_DIGITS or cluster_runs >= NUMBER_RUNS:
                    has_number[document] = True
            slot = slots[(hashed ^ hashed >> np.uint64(13)) & mask]
            if slot < 0 or not searched or begin < free_from:
                continue
            longest, longest_term = begin, -1
            for term in range(firsts[slot], firsts[slot + 1]):
                first, last, exact = term_offsets[term], term_offsets[term + 1], term_exact[term]
                stop = _end_of_match(data, begin, end, term_bytes, first, last, fold, exact, loose_hyphens)
                if (stop <= longest and longest_only) or stop < 0 or _cuts_a_run(data, stop, end, classes, is_wide_letter):
                    continue
                if longest_only:
                    longest, longest_term, free_from = stop, term, stop
                elif last_seen[term] != document:
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
