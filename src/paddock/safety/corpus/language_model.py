"""fastText's compressed language model, read from its file for `language_kernel`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError
from paddock.text.language_id import LABEL, THRESHOLD, UNKNOWN, model_file

MAGIC: Final = 793712314
VERSION: Final = 12
HIERARCHICAL_SOFTMAX: Final = 1
CENTROIDS: Final = 256
END_OF_LINE: Final = b"</s>"


class LanguageModel:
    """Names the languages of many texts at once. What it keeps of words only saves work: results do not depend on it."""

    def __init__(self, threshold: float = THRESHOLD, path: Path | None = None) -> None:
        """Read the model, and leave room for the vectors of words. Raises DataError for a file of another kind."""
        from paddock.safety.corpus import language_kernel as kernel

        self.threshold = threshold
        self.file = read_model(path or model_file())
        words = [np.frombuffer(word, np.uint8) for word in self.file.words]
        offsets = np.cumsum([0, *map(len, words)]).astype(np.int64)
        self.word_keys = np.zeros(2 ** (4 * len(words)).bit_length(), np.uint64)
        self.word_rows = np.zeros(len(self.word_keys), np.int32)
        kernel.fill_dictionary(np.concatenate(words), offsets, self.word_keys, self.word_rows)
        self.cache_keys = np.zeros(kernel.CACHE_SLOTS, np.uint64)
        self.cache_vectors = np.zeros((kernel.CACHE_SLOTS, self.file.rows.shape[1]), np.float32)
        self.cache_counts = np.zeros(kernel.CACHE_SLOTS, np.int32)
        self.cached = np.zeros(1, np.int64)

    def identify(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[list[str], NDArray[np.float64]]:
        """The code of each text (`unknown` below the threshold), and its likeliest language's probability, (texts,).

        Text d is `data[offsets[d]:offsets[d + 1]]`, UTF-8; line ends count as spaces, and nothing is cut.
        """
        from paddock.safety.corpus import language_kernel as kernel

        file = self.file
        means, words = kernel.text_vectors(
            data,
            offsets,
            file.rows,
            file.row_of_bucket,
            file.shortest,
            file.longest,
            self.word_keys,
            self.word_rows,
            file.words.index(END_OF_LINE),
            self.cache_keys,
            self.cache_vectors,
            self.cache_counts,
            self.cached,
        )
        best, found = kernel.best_leaves(means, file.outputs, file.left, file.right, len(file.labels))
        probabilities = np.where(words > 0, np.minimum(found, 1.0), 0.0)
        known = (words > 0) & (probabilities >= self.threshold)
        codes = [file.labels[label] if is_known else UNKNOWN for label, is_known in zip(best, known, strict=True)]
        return codes, probabilities


@dataclass(frozen=True)
class ModelFile:
    """A model's words, labels, rows (rows, dim), the row of each bucket of n-grams (-1: none), the outputs of the tree's
    inner nodes (labels - 1, dim), and the children of each."""

    words: list[bytes]
    labels: list[str]
    rows: NDArray[np.float32]
    row_of_bucket: NDArray[np.int32]
    shortest: int
    longest: int
    outputs: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]


@dataclass
class _Reader:
    """A file's bytes, and how far they are read."""

    content: bytes
    place: int = 0

    def take(self, form: str) -> Any:
        """Values packed in `form`, little-endian; a single one by itself."""
        values = struct.unpack_from("<" + form, self.content, self.place)
        self.place += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def array(self, kind: Any, count: int) -> NDArray[Any]:
        """The next `count` numbers."""
        found = np.frombuffer(self.content, kind, count, self.place)
        self.place += found.nbytes
        return found

    def word(self) -> bytes:
        """Bytes up to the next zero."""
        begin, self.place = self.place, self.content.index(b"\0", self.place) + 1
        return self.content[begin : self.place - 1]


def read_model(path: Path) -> ModelFile:
    """Read a supervised, quantized model with a hierarchical softmax (fastText's format, version 12). Raises DataError."""
    reader = _Reader(path.read_bytes())
    if reader.take("ii") != (MAGIC, VERSION):
        raise DataError(path, "is no model of fastText, version 12")
    dim, _, _, _, _, word_ngrams, loss, _, buckets, shortest, longest, _ = reader.take("12i")
    reader.take("d")
    if loss != HIERARCHICAL_SOFTMAX or word_ngrams != 1:
        raise DataError(path, "is no language model with a hierarchical softmax over single words")
    size, word_count, _ = reader.take("3i")
    _, pruned = reader.take("2q")
    entries = [(reader.word(), reader.take("qb")[0]) for _ in range(size)]
    pairs = reader.array("<i4", 2 * pruned).reshape(-1, 2)
    row_of_bucket = np.full(buckets, -1, np.int32)
    row_of_bucket[pairs[:, 0]] = word_count + pairs[:, 1]
    if not reader.take("?"):
        raise DataError(path, "is not quantized")
    rows = _quantized(reader, dim)
    if reader.take("?"):
        raise DataError(path, "has a quantized output, which is not read")
    label_count, width = reader.take("2q")
    outputs = reader.array("<f4", label_count * width).reshape(label_count, width)
    left, right = tree_of([count for _, count in entries[word_count:]])
    labels = [name.decode().removeprefix(LABEL) for name, _ in entries[word_count:]]
    words = [name for name, _ in entries[:word_count]]
    return ModelFile(words, labels, rows, row_of_bucket, shortest, longest, outputs[: len(left)], left, right)


def _quantized(reader: _Reader, dim: int) -> NDArray[np.float32]:
    """A matrix as product quantization keeps it: each row's parts by the number of their centroid, its norm apart."""
    has_norms = reader.take("?")
    count, _ = reader.take("2q")
    codes = reader.array(np.uint8, reader.take("i")).reshape(count, -1)
    rows = _decoded(reader, codes)
    if has_norms:
        norm_codes = reader.array(np.uint8, count).reshape(count, 1)
        rows = rows * _decoded(reader, norm_codes)
    assert rows.shape == (count, dim)
    return np.ascontiguousarray(rows, np.float32)


def _decoded(reader: _Reader, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Centroids in place of their numbers, (rows, dim)."""
    dim, parts, width, last_width = reader.take("4i")
    centroids = reader.array("<f4", dim * CENTROIDS)
    widths = [*[width] * (parts - 1), last_width]
    found = []
    for part, part_width in enumerate(widths):
        begin = part * CENTROIDS * width
        table = centroids[begin : begin + CENTROIDS * part_width].reshape(CENTROIDS, part_width)
        found.append(table[codes[:, part]])
    return np.concatenate(found, axis=1)


def tree_of(counts: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Huffman's tree over labels in falling order of their counts: the left and right child of each inner node, as numbers
    of leaves (below their number) and inner nodes."""
    leaves = len(counts)
    weights = [*counts, *[10**15] * (leaves - 1)]
    leaf, node = leaves - 1, leaves
    children = []
    for parent in range(leaves, 2 * leaves - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        weights[parent] = weights[pair[0]] + weights[pair[1]]
        children.append(pair)
    left, right = np.array(children, np.int64).T
    return left.copy(), right.copy()
