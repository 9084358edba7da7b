"""Documents in batches: the texts of a file, and the same as one buffer that kernels run over."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from paddock.text.files import Row, RowError, read_rows
from paddock.text.spans import Span

BATCH_CHARACTERS = 4_000_000
BATCH_DOCUMENTS = 20_000
PADDING = 64
HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Batch:
    """Some documents, and the rows between them that could not be read, counted by reason."""

    texts: list[str]
    skipped: Counter[str]

    @cached_property
    def encoded(self) -> list[bytes]:
        """The texts as UTF-8."""
        return [text.encode() for text in self.texts]

    @cached_property
    def buffers(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The texts as UTF-8 in one buffer, shape (bytes,), and where each begins and the last ends, (documents + 1,): the
        layout of a string column of Arrow, and made faster than Arrow makes one of a list. As there, the buffer is padded
        to whole blocks of 64 bytes; one more of zeros ends it, so that a kernel may look ahead."""
        starts = np.zeros(len(self.encoded) + 1, np.int64)
        np.cumsum([len(text) for text in self.encoded], out=starts[1:])
        padding = b"\0" * (PADDING + -int(starts[-1]) % PADDING)
        return np.frombuffer(b"".join([*self.encoded, padding]), np.uint8), starts

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """A 64-bit hash of each text, shape (documents,): what is sampled and what is a duplicate goes by it."""
        digests = b"".join(blake2b(text, digest_size=8).digest() for text in self.encoded)
        return np.frombuffer(digests, np.uint64)


def read_batches(path: str, field: str, span: Span | None = None) -> Iterator[Batch]:
    """The documents of a file, or of a span of it: the strings under `field` of its rows.

    Raises DataError where the file breaks off.
    """
    texts: list[str] = []
    skipped: Counter[str] = Counter()
    characters = 0
    for _, row in read_rows(path, span):
        text = _text(row, field)
        if isinstance(text, RowError):
            skipped[text.reason] += 1
            continue
        texts.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS or len(texts) == BATCH_DOCUMENTS:
            yield _encodable(texts, skipped)
            texts, skipped, characters = [], Counter(), 0
    yield _encodable(texts, skipped)


def _text(row: Row | RowError, field: str) -> str | RowError:
    if isinstance(row, RowError):
        return row
    text = row.get(field)
    if not isinstance(text, str):
        return RowError(f"no text under {field!r}")
    return text


def _encodable(texts: list[str], skipped: Counter[str]) -> Batch:
    """The batch of all texts but those with half a surrogate pair, which JSON can write and UTF-8 cannot."""
    batch = Batch(texts, skipped)
    try:
        _ = batch.encoded
    except UnicodeEncodeError:
        sound = [text for text in texts if not HALF_PAIR.search(text)]
        return Batch(sound, skipped + Counter({"a lone surrogate": len(texts) - len(sound)}))
    return batch
