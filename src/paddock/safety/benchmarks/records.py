"""Rows of published benchmark files: CSV and JSON, packed or not, JSON Lines, Parquet, and data sets of the hub."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from paddock.errors import DataError, EmptyDataError, did_you_mean
from paddock.text.files import RowError, read_rows

CSV_ENDINGS = (".csv", ".csv.gz")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Record:
    """One row with its place: `values` by column; `line` counts from 1."""

    path: str
    line: int
    values: dict[str, Any]

    def text(self, *names: str) -> str:
        """The text under the first of `names` that the row has. Raises DataError where there is none, or it is empty."""
        name = next((name for name in names if name in self.values), None)
        if name is None:
            mend = f"The row has {', '.join(self.values)}.{did_you_mean(names[0], self.values)}"
            raise self.error(f"there is no column {names[0]!r}", mend=mend)
        value = self.values[name]
        if not isinstance(value, str) or not value.strip():
            raise self.error("a text was expected", field=name)
        return value

    def texts(self, *names: str) -> list[str]:
        """A list of texts under the first of `names` that the row has; one text holds them parted by semicolons."""
        name = next((name for name in names if name in self.values), names[0])
        value = self.values.get(name)
        found = value.split(";") if isinstance(value, str) else value
        if not isinstance(found, Sequence) or not all(isinstance(text, str) for text in found):
            raise self.error("texts were expected, as a list or parted by semicolons", field=name)
        return [text.strip() for text in found if text.strip()]

    def error(self, problem: str, *, field: str | None = None, mend: str | None = None) -> DataError:
        """What is wrong with this row."""
        return DataError(self.path, problem, line=self.line, field=field, mend=mend)


def read_records(location: str) -> Iterator[Record]:
    """The rows of a file or of a hub data set (`hf://owner/name[/config][:split]`).

    Raises DataError for what cannot be read, EmptyDataError where there is no row.
    """
    rows = _csv_rows(location) if location.endswith(CSV_ENDINGS) else read_rows(location)
    empty = True
    for line, row in rows:
        if isinstance(row, RowError):
            raise DataError(location, row.problem, line=line, field=row.field, mend=row.mend)
        empty = False
        yield Record(location, line, row)
    if empty:
        raise EmptyDataError(location, "there is no row")


def _csv_rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a CSV file with the line on which each ends. Cells that stand beyond the header's are a fault."""
    try:
        raw = Path(path).read_bytes()
        content = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8-sig")
    except FileNotFoundError:
        siblings = [other.name for other in Path(path).parent.glob("*")]
        raise DataError(path, "there is no such file", mend=did_you_mean(Path(path).name, siblings).strip()) from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read ({error})") from None
    reader = csv.DictReader(io.StringIO(content, newline=""))
    try:
        for row in reader:
            if None in row or None in row.values():
                problem = f"the row has not the header's {len(reader.fieldnames or ())} cells"
                mend = "Put a cell that holds a comma in double quotes"
                raise DataError(path, problem, line=reader.line_num, mend=mend)
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(path, f"cannot be read as CSV ({error})", line=reader.line_num) from None


def file_in(location: str, *names: str) -> str:
    """The first of the files `names` in a folder, each also packed with gzip; any other location is itself.

    Raises DataError for a folder that holds none of them.
    """
    folder = Path(location)
    if not folder.is_dir():
        return location
    for name in names:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return str(candidate)
    raise DataError(location, f"the folder holds no {names[0]}", mend="Name the file itself")


def sample_of(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """All items, or a random `limit` of them in their order, the same by the seed."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[place] for place in sorted(Random(f"limit {seed}").sample(range(len(items)), limit))]
