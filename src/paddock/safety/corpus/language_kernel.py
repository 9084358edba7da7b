"""fastText's identification as a loop over a buffer, compiled by numba: each word's vector is worked out once and kept.

Words repeat, and a text's vector is the mean of its words' (Joulin et al. 2016, 2017): this gives what fastText gives, but
for the rounding of sums, at many times its speed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from paddock.safety.corpus.kernels import Bytes, Ints, compiled

CACHE_SLOTS: Final = 2**17
CACHE_FULL: Final = CACHE_SLOTS * 3 // 4
LONGEST_KEPT: Final = 48  # bytes: longer words seldom come again
FNV: Final = 1099511628211
FNV_BASIS: Final = 14695981039346656037
LABEL: Final = np.frombuffer(b"__label__", np.uint8)

Floats = NDArray[np.float32]


@compiled
def hash_of(data: Bytes, begin: int, end: int) -> np.uint64:
    """FNV-1a of 64 bits: the key of a word in the dictionary and in the cache."""
    hashed = np.uint64(FNV_BASIS)
    for place in range(begin, end):
        hashed = (hashed ^ np.uint64(data[place])) * np.uint64(FNV)
    return hashed


@compiled
def _byte(data: Bytes, begin: int, end: int, place: int) -> int:
    """A byte of `<word>`: place -1 is the mark before the word, the word's length the one behind it."""
    if place < 0:
        return 60
    return 62 if begin + place >= end else int(data[begin + place])


@compiled
def _add_subwords(
    data: Bytes,
    begin: int,
    end: int,
    rows: Floats,
    row_of_bucket: NDArray[np.int32],
    shortest: int,
    longest: int,
    out: Floats,
) -> int:
    """Add to `out` (dim,) the rows of a word's character n-grams that the model kept; returns how many there were."""
    buckets, size, count = np.uint64(len(row_of_bucket)), end - begin + 1, 0
    for start in range(-1, size):
        if _byte(data, begin, end, start) & 0xC0 == 0x80:
            continue
        hashed, place, length = np.uint64(2166136261), start, 1
        while place < size and length <= longest:
            while True:
                byte = _byte(data, begin, end, place)
                signed = np.uint64(byte | 0xFFFFFF00 if byte > 127 else byte)
                hashed = ((hashed ^ signed) * np.uint64(16777619)) & np.uint64(0xFFFFFFFF)
                place += 1
                if place >= size or _byte(data, begin, end, place) & 0xC0 != 0x80:
                    break
            if length >= shortest and not (length == 1 and (start == -1 or place == size)):
                row = row_of_bucket[hashed % buckets]
                if row >= 0:
                    count += 1
                    for dim in range(len(out)):
                        out[dim] += rows[row, dim]
            length += 1
    return count


@compiled
def _find(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """The slot of a key, or the free one where it would stand; 0 marks a free slot."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return int(slot)


@compiled
def fill_dictionary(data: Bytes, offsets: Ints, keys: NDArray[np.uint64], word_rows: NDArray[np.int32]) -> None:
    """Put every word of the dictionary into the table of keys, with its row."""
    for word in range(len(offsets) - 1):
        slot = _find(keys, hash_of(data, offsets[word], offsets[word + 1]))
        keys[slot] = hash_of(data, offsets[word], offsets[word + 1])
        word_rows[slot] = word


@compiled
def text_vectors(
    data: Bytes,
    offsets: Ints,
    rows: Floats,
    row_of_bucket: NDArray[np.int32],
    shortest: int,
    longest: int,
    word_keys: NDArray[np.uint64],
    word_rows: NDArray[np.int32],
    end_row: int,
    cache_keys: NDArray[np.uint64],
    cache_vectors: Floats,
    cache_counts: NDArray[np.int32],
    cached: Ints,
) -> tuple[NDArray[np.float64], Ints]:
    """The mean of the rows of each text, (texts, dim), and how many words it has, (texts,). The cache fills as it goes."""
    texts, dims = len(offsets) - 1, rows.shape[1]
    means = np.zeros((texts, dims), np.float64)
    words = np.zeros(texts, np.int64)
    fresh = np.zeros(dims, np.float32)
    for text in range(texts):
        place, end = offsets[text], offsets[text + 1]
        total, row_count = means[text], 1
        for dim in range(dims):
            total[dim] = rows[end_row, dim]  # a line's end is a word to the model
        while place < end:
            byte = data[place]
            if byte == 32 or 9 <= byte <= 13 or byte == 0:
                place += 1
                continue
            begin, key = place, np.uint64(FNV_BASIS)
            while place < end and not (data[place] == 32 or 9 <= data[place] <= 13 or data[place] == 0):
                key = (key ^ np.uint64(data[place])) * np.uint64(FNV)
                place += 1
            words[text] += 1
            slot = _find(cache_keys, key)
            if cache_keys[slot] == key:
                row_count += cache_counts[slot]
                for dim in range(dims):
                    total[dim] += cache_vectors[slot, dim]
                continue
            count = _word(data, begin, place, key, rows, row_of_bucket, shortest, longest, word_keys, word_rows, fresh)
            row_count += count
            for dim in range(dims):
                total[dim] += fresh[dim]
            if place - begin <= LONGEST_KEPT and cached[0] < CACHE_FULL:
                cached[0] += 1
                cache_keys[slot], cache_counts[slot] = key, count
                for dim in range(dims):
                    cache_vectors[slot, dim] = fresh[dim]
        for dim in range(dims):
            total[dim] /= row_count
    return means, words


@compiled
def _word(
    data: Bytes,
    begin: int,
    end: int,
    key: np.uint64,
    rows: Floats,
    row_of_bucket: NDArray[np.int32],
    shortest: int,
    longest: int,
    word_keys: NDArray[np.uint64],
    word_rows: NDArray[np.int32],
    out: Floats,
) -> int:
    """Set `out` (dim,) to the sum of a word's rows, and return how many there are. A label written out is no word."""
    out[:] = 0
    if end - begin >= len(LABEL):
        is_label = True
        for place in range(len(LABEL)):
            is_label = is_label and data[begin + place] == LABEL[place]
        if is_label:
            return 0
    slot, count = _find(word_keys, key), 0
    if word_keys[slot] == key:
        count = 1
        for dim in range(len(out)):
            out[dim] = rows[word_rows[slot], dim]
    return count + _add_subwords(data, begin, end, rows, row_of_bucket, shortest, longest, out)


@compiled
def best_leaves(
    means: NDArray[np.float64], outputs: Floats, left: Ints, right: Ints, leaves: int
) -> tuple[Ints, NDArray[np.float64]]:
    """The likeliest label of each mean, and its probability: down every branch of the tree of the hierarchical softmax."""
    best = np.zeros(len(means), np.int64)
    probabilities = np.zeros(len(means), np.float64)
    scores = np.zeros(2 * leaves - 1, np.float64)
    for text in range(len(means)):
        scores[:] = 0
        highest = -np.inf
        for node in range(2 * leaves - 2, -1, -1):  # a parent has a higher number than its children
            if node < leaves:
                if scores[node] > highest:
                    highest, best[text] = scores[node], node
                continue
            product = 0.0
            for dim in range(means.shape[1]):
                product += means[text, dim] * outputs[node - leaves, dim]
            share = 1 / (1 + np.exp(-product))
            scores[left[node - leaves]] = scores[node] + np.log(1 - share + 1e-5)
            scores[right[node - leaves]] = scores[node] + np.log(share + 1e-5)
        probabilities[text] = np.exp(highest)
    return best, probabilities
