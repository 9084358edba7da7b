"""One file in pieces that can be read apart: ranges of its bytes, so that many workers share a large file.

A span holds the rows that begin in its bytes, whoever reads the rest of the last one. So any spans that cover a file without
overlap hold each row once, and they can be named from the file's size alone. A packed file has no place to begin but its
first byte, and stays whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, Final

CAN_BE_CUT: Final = (".jsonl", ".txt", ".parquet")
SPAN_BYTES: Final = 2**27
SEARCH_BYTES: Final = 2**16

Span = tuple[int, int]
"""The first byte, and the first byte behind."""


def spans_of(path: str) -> list[Span | None]:
    """Spans of 128 MiB that cover a file; `[None]`, all of it, where it is no larger or cannot be cut."""
    size = Path(path).stat().st_size
    if size <= SPAN_BYTES or not path.endswith(CAN_BE_CUT):
        return [None]
    return [(begin, min(begin + SPAN_BYTES, size)) for begin in range(0, size, SPAN_BYTES)]


def line_bounds(stream: IO[bytes], span: Span) -> Span:
    """The bytes of the lines that begin in `span`."""
    begin, end = (_line_from(stream, place) for place in span)
    return begin, end


def _line_from(stream: IO[bytes], place: int) -> int:
    """Where the first line begins at `place` or behind it; the end of the file where none does."""
    if place == 0:
        return 0
    stream.seek(place - 1)
    place -= 1
    while chunk := stream.read(SEARCH_BYTES):
        found = chunk.find(b"\n")
        if found >= 0:
            return place + found + 1
        place += len(chunk)
    return place


def lines_before(stream: IO[bytes], place: int) -> int:
    """How many line ends stand before a byte of a file."""
    stream.seek(0)
    sizes = (min(SEARCH_BYTES, place - begin) for begin in range(0, place, SEARCH_BYTES))
    return sum(stream.read(size).count(b"\n") for size in sizes)


def row_groups(metadata: Any, span: Span) -> list[int]:
    """The row groups of a Parquet file whose first page begins in `span`."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    begins = [min((_begin(group.column(n)) for n in range(group.num_columns)), default=0) for group in groups]
    return [number for number, begin in enumerate(begins) if span[0] <= begin < span[1]]


def _begin(column: Any) -> int:
    """The first byte of a column chunk: its dictionary's page stands before the data."""
    return int(column.dictionary_page_offset or column.data_page_offset)
