"""Tables: CSV and TSV (also packed with gzip), JSON Lines, JSON and Parquet, a column at a time.

A cell that is empty, NA, NaN or nan is missing. A column of a CSV file whose other cells all are numbers is one of
numbers; so is "01", which counts as 1. Spaces around a cell do not belong to it.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from paddock.errors import DataError, EmptyDataError, did_you_mean
from paddock.text.files import RowError, read_rows

MISSING = ("", "NA", "NaN", "nan")
SEPARATORS = (",", ";", "\t")
CSV_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

Column: TypeAlias = Any  # an Arrow array in chunks, or a list of objects


@dataclass(frozen=True)
class Table:
    """Columns of one length by name, in the file's order. `lines` (n,) are the rows' lines; None: counted when asked."""

    path: str
    columns: dict[str, Column]
    rows: int
    lines: Sequence[int] | None = None

    def column(self, name: str) -> NDArray[Any]:
        """A column (n,): float64 with NaN for numbers, else objects with None. Raises DataError where there is none."""
        return self.together([name])[:, 0]

    def together(self, names: Sequence[str]) -> NDArray[Any]:
        """Columns side by side (n, c): numbers only where all of them are numbers. Raises DataError as `column`."""
        found = [self._found(name) for name in names]
        columns = [_values(column) for column in found]
        numeric = all(column.dtype == np.float64 for column in columns)
        if numeric:
            return np.column_stack(columns)
        if all(isinstance(text, pa.ChunkedArray) and pa.types.is_string(text.type) for text in found):
            columns = [_words(text) for text in found]  # one word among numbers makes words of them all
        stacked = np.empty((self.rows, len(names)), dtype=object)
        for place, column in enumerate(columns):
            stacked[:, place] = [None if is_missing(value) else value for value in column.tolist()]
        return stacked

    def names(self, name: str) -> list[str | None]:
        """A column of names (n,) as the file has them, None where one is missing. Raises DataError as `column`.

        A name is never a number, though it may look like one: of 1000001 and 1000002, or 01 and 1, nothing is lost.
        """
        column = self._found(name)
        if isinstance(column, list):
            return [_name(value) for value in column]
        encoded = column.combine_chunks().dictionary_encode()
        names = [*map(_name, encoded.dictionary.to_pylist()), None]
        return [names[place] for place in encoded.indices.fill_null(len(names) - 1).to_pylist()]

    def _found(self, name: str) -> Column:
        if name not in self.columns:
            mend = f"Its columns: {', '.join(self.columns)}.{did_you_mean(name, self.columns)}"
            raise DataError(self.path, f"there is no column {name!r}", mend=mend)
        return self.columns[name]

    def line_of(self, row: int) -> int:
        """The line of the file, from 1, on which a row, from 0, ends."""
        if self.lines is not None:
            return int(self.lines[row])
        return next(islice(_csv_records(self.path), row + 1, None))[0]

    def error(self, row: int, problem: str, *, field: str | None = None, mend: str | None = None) -> DataError:
        """What is wrong with a row, from 0, with its line."""
        return DataError(self.path, problem, line=self.line_of(row), field=field, mend=mend)


def read_table(path: str | Path) -> Table:
    """Read a file wholly. Raises DataError with line and mend where it cannot be read, EmptyDataError where no row is."""
    table = _read_csv(str(path)) if str(path).endswith(CSV_ENDINGS) else _read_records(str(path))
    if not table.rows:
        raise EmptyDataError(str(path), "there is no row")
    return table


def _read_csv(path: str) -> Table:
    from pyarrow import csv as arrow_csv

    header = _header(path)
    text = dict.fromkeys(header, pa.string())
    try:
        table = arrow_csv.read_csv(
            path,
            parse_options=arrow_csv.ParseOptions(delimiter=_separator(path), newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=text, strings_can_be_null=True, null_values=MISSING),
        )
    except pa.ArrowException as error:
        raise _csv_error(path, len(header), error) from None
    return Table(path, dict(zip(header, table.columns, strict=True)), table.num_rows)


def _header(path: str) -> list[str]:
    _, header = next(_csv_records(path), (1, []))
    if not header:
        raise EmptyDataError(path, "the file is empty")
    names = [name.strip() for name in header]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise DataError(path, f"two columns have the name {twice!r}", line=1, mend="Rename one")
    return names


def _csv_error(path: str, width: int, error: Exception) -> DataError:
    """Find the line that Arrow stumbled over."""
    for line, record in _csv_records(path):
        if len(record) != width:
            problem = f"{len(record)} cells, and the header has {width}"
            return DataError(path, problem, line=line, mend="Put a cell that contains the separator in double quotes")
    return DataError(path, f"cannot be read as CSV ({error})")


def _separator(path: str) -> str:
    """The separator of most cells in the header."""
    header = next(_text_lines(path), "")
    return max(SEPARATORS, key=header.count)


def _csv_records(path: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file, the header among them, each with the line that it ends on; blank lines are none."""
    reader = csv.reader(_text_lines(path), delimiter=_separator(path))
    try:
        for record in reader:
            if record:
                yield reader.line_num, record
    except csv.Error as error:
        raise DataError(path, f"cannot be read as CSV ({error})", line=reader.line_num) from None


def _text_lines(path: str) -> Iterator[str]:
    """The lines of a file, packed or not, with their ends and without a byte-order mark."""
    try:
        with io.BufferedReader(pa.input_stream(path, compression="detect")) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).decode()
                except UnicodeDecodeError:
                    raise DataError(path, "invalid UTF-8", line=number, mend="Save it as UTF-8") from None
    except FileNotFoundError:
        siblings = [other.name for other in Path(path).parent.glob("*")]
        raise DataError(path, "there is no such file", mend=did_you_mean(Path(path).name, siblings).strip()) from None
    except OSError as error:
        raise DataError(path, f"cannot be read ({error})") from None


def _read_records(path: str) -> Table:
    if path.endswith(".parquet") and Path(path).is_file():
        return _read_parquet(path)
    lines, rows = [], []
    for line, row in read_rows(path):
        if isinstance(row, RowError):
            raise DataError(path, row.problem, line=line, field=row.field, mend=row.mend)
        lines.append(line)
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table(path, {name: [row.get(name) for row in rows] for name in names}, len(rows), lines)


def _read_parquet(path: str) -> Table:
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(path, f"cannot be read as Parquet ({error})") from None
    columns = dict(zip(table.column_names, map(_plain, table.columns), strict=True))
    return Table(path, columns, table.num_rows, range(1, table.num_rows + 1))


def _plain(column: pa.ChunkedArray) -> Column:
    """Text as text, whatever its encoding; what is neither text nor number as objects."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    objects: list[Any] = column.to_pylist()
    return column if is_number and kind == column.type else objects


def _values(column: Column) -> NDArray[Any]:
    """A column as numbers where all of it is, else as objects."""
    if isinstance(column, list):
        filled = [value for value in column if not is_missing(value)]
        if all(isinstance(value, int | float) for value in filled):
            return np.array([np.nan if is_missing(value) else value for value in column], dtype=np.float64)
        objects = np.empty(len(column), dtype=object)
        objects[:] = [None if is_missing(value) else value for value in column]
        return objects
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not pa.types.is_string(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    encoded = column.combine_chunks().dictionary_encode()
    words = [None if word is None or word.strip() in MISSING else word.strip() for word in encoded.dictionary.to_pylist()]
    indices = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    try:
        numbers = [np.nan if word is None else float(word) for word in words]
    except ValueError:
        table = np.array([*words, None], dtype=object)
    else:
        table = np.array([*numbers, np.nan])
    cells: NDArray[Any] = table[indices]
    return cells


def _words(column: pa.ChunkedArray) -> NDArray[Any]:
    words = [None if word is None or word.strip() in MISSING else word.strip() for word in column.to_pylist()]
    return np.array(words, dtype=object)


def _name(value: Any) -> str | None:
    """A cell as a name: 3.0, which is how a number beside empty cells is stored, is 3."""
    if is_missing(value):
        return None
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value).strip()


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, or a word of `MISSING`."""
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))
