"""How much the sources hold, by their first rows and the sizes of their files: what a dry run says within seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from paddock.text.files import HUB
from paddock.text.readers import Source, locations

SAMPLE_ROWS = 20_000
SAMPLE_BYTES = 16 << 20
EXPANSION = {".gz": 4.0, ".zst": 4.0, ".parquet": 3.0}  # of text, about

Item = TypeVar("Item")


class Sample(Generic[Item]):
    """The first rows of a stream, 20,000 or 16 MiB of them, counted as they pass; and how many times as much there is.

    `size` is about how many bytes a row takes in its file.
    """

    def __init__(self, stream: Iterable[Item], size: Callable[[Item], int], sources: Iterable[Source]) -> None:
        self._stream, self._size, self._sources = stream, size, sources
        self.rows, self.bytes, self.is_whole = 0, 0, False

    def __iter__(self) -> Iterator[Item]:
        for row in self._stream:
            self.rows, self.bytes = self.rows + 1, self.bytes + self._size(row)
            yield row
            if self.rows >= SAMPLE_ROWS or self.bytes >= SAMPLE_BYTES:
                return
        self.is_whole = True

    @property
    def scale(self) -> float:
        """How many times as much as the sample the sources hold, about; 1 where it is all of them."""
        return 1.0 if self.is_whole else max(bytes_of(self._sources) / max(self.bytes, 1), 1.0)

    @property
    def counted(self) -> str:
        """How what is told of the whole came about."""
        if self.is_whole:
            return "exactly"
        return f"estimated from the first {self.rows:,} rows and the sizes of the files (a hub data set counts as none)"


def bytes_of(sources: Iterable[Source]) -> float:
    """About how many bytes of rows the files of the sources give an epoch."""
    return sum(
        source.weight * Path(place).stat().st_size * EXPANSION.get(Path(place).suffix, 1.0)
        for source in sources
        for place in locations(source)
        if not place.startswith(HUB)
    )
