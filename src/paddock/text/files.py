"""Rows out of files, as a stream: memory does not grow with the file.

JSON Lines, JSON, and plain text, each as it is or compressed (`.gz`, `.zst`); Parquet; data sets of the Hugging Face hub
(`hf://owner/name[/config][:split]`); web archives (WARC, WET).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from paddock.errors import DataError, MissingExtraError, did_you_mean
from paddock.text.spans import CAN_BE_CUT, Span, line_bounds, lines_before, row_groups
from paddock.text.warc import ENDINGS as WARC_ENDINGS
from paddock.text.warc import warc_rows

KINDS = (".jsonl", ".json", ".txt", ".parquet")
SUFFIXES = (*KINDS, *(kind + packing for kind in KINDS[:3] for packing in (".gz", ".zst")), *WARC_ENDINGS)
HUB = "hf://"
CHUNK_BYTES = 2**20
TEXT_CHARACTERS = 2**16  # a document of a .txt file
PARQUET_ROWS = 1024

VALUE_BEGINS = re.compile(r"[^ \t\r\n,]")

Row = dict[str, Any]


class RowError(Exception):
    """A row that cannot be used: `reason` is what such rows are counted under, `problem` what is wrong with this one."""

    def __init__(self, reason: str, problem: str = "", *, field: str | None = None, mend: str | None = None) -> None:
        super().__init__(reason, problem)
        self.reason, self.problem, self.field, self.mend = reason, problem or reason, field, mend


class TieError(Exception):
    """A sound pair of replies neither of which is the better one: there is nothing to learn from it."""


def is_readable(path: Path) -> bool:
    """Whether the name is that of a file that `read_rows` reads."""
    return path.name.endswith(SUFFIXES) and not path.name.startswith(".")


def read_rows(location: str, span: Span | None = None) -> Iterator[tuple[int, Row | RowError]]:
    """The rows of a file or of a hub data set, each with its line (counted from 1).

    With a `span`, the rows that begin in these bytes of a file that can be cut, counted from the first of them; a document
    of plain text then ends where the span does. A row that cannot be parsed comes as a RowError, and the stream goes on.
    Raises DataError where it cannot go on: a file that is missing, of an unknown kind, truncated, or not UTF-8 where rows
    are not lines.
    """
    assert span is None or location.endswith(CAN_BE_CUT), f"{location} cannot be read in parts"
    if location.startswith(HUB):
        return enumerate(_hub_rows(location), start=1)
    kind = next((kind for kind in KINDS if Path(location).name.endswith((kind, f"{kind}.gz", f"{kind}.zst"))), None)
    if kind == ".jsonl":
        return _json_lines(location, span)
    if kind == ".json":
        return _json_values(location)
    if kind == ".txt":
        return _text_documents(location, span)
    if kind == ".parquet" and location.endswith(kind):
        return enumerate(_parquet_rows(location, span), start=1)
    if location.endswith(WARC_ENDINGS):
        return enumerate(warc_rows(location), start=1)
    raise DataError(location, "this kind of file is not read", mend=f"Known endings: {', '.join(SUFFIXES)}")


def _chunks(path: str, span: Span | None = None) -> Iterator[bytes]:
    """The bytes of a file, or of the lines that begin in a span of it, unpacked, without the file's byte-order mark.

    Raises DataError, also for a truncated archive.
    """
    try:
        with _open(path) as stream:
            chunks = iter(partial(stream.read, CHUNK_BYTES), b"") if span is None else _within(stream, span)
            if span is None or span[0] == 0:
                yield next(chunks, b"").removeprefix(codecs.BOM_UTF8)
            yield from chunks
    except FileNotFoundError:
        siblings = [other.name for other in Path(path).parent.glob("*")]
        raise DataError(path, "there is no such file", mend=did_you_mean(Path(path).name, siblings).strip()) from None
    except OSError as error:
        if "Truncated" in str(error):
            raise DataError(path, "the archive ends before its end", mend="Fetch it or make it again") from None
        raise DataError(path, f"cannot be read ({error})") from None


def _open(path: str) -> Any:
    """Arrow unpacks both kinds with bounded memory, and tells a truncated archive from a whole one, as few readers do."""
    if not path.endswith((".gz", ".zst")):
        return open(path, "rb")
    from pyarrow import input_stream

    return input_stream(path, compression="gzip" if path.endswith(".gz") else "zstd")


def _within(stream: Any, span: Span) -> Iterator[bytes]:
    begin, end = line_bounds(stream, span)
    stream.seek(begin)
    for place in range(begin, end, CHUNK_BYTES):
        yield stream.read(min(CHUNK_BYTES, end - place))


def _lines(path: str, span: Span | None) -> Iterator[bytes]:
    rest = b""
    for chunk in _chunks(path, span):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _json_lines(path: str, span: Span | None) -> Iterator[tuple[int, Row | RowError]]:
    for number, line in enumerate(_lines(path, span), start=1):
        if line and not line.isspace():
            yield number, _parse(line)


def _parse(line: bytes) -> Row | RowError:
    try:
        return _object(json.loads(line.decode()))
    except UnicodeDecodeError as error:
        return RowError(
            "invalid UTF-8",
            f"invalid UTF-8: byte 0x{line[error.start]:02x} at position {error.start}",
            mend="Save it as UTF-8",
        )
    except json.JSONDecodeError as error:
        return RowError(
            "not JSON", f"not JSON: {error.msg} at column {error.colno}", mend="Each line must be one JSON object"
        )
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of thousands of digits
        return RowError("not JSON", f"cannot be read ({error})")


def _object(value: Any) -> Row | RowError:
    return (
        value if isinstance(value, dict) else RowError("not a JSON object", f"not a JSON object: {json.dumps(value)[:40]}")
    )


def _characters(path: str, span: Span | None = None) -> Iterator[str]:
    """The text of a file in pieces. Raises DataError, with the line, where it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for chunk in _chunks(path, span):
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n") + _lines_of_file_before(path, span)
            problem = f"invalid UTF-8: byte 0x{error.object[error.start]:02x}"
            raise DataError(path, problem, line=line, mend="Save it as UTF-8") from None
        line += text.count("\n")
        yield text
    try:
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        line += _lines_of_file_before(path, span)
        raise DataError(path, "invalid UTF-8: the last character is cut short", line=line) from None


def _lines_of_file_before(path: str, span: Span | None) -> int:
    """The line ends before the first line of a span."""
    if span is None or span[0] == 0:
        return 0
    with open(path, "rb") as stream:
        return lines_before(stream, line_bounds(stream, span)[0])


def _json_values(path: str) -> Iterator[tuple[int, Row | RowError]]:
    """The members of the one array that a `.json` file holds, or the objects that follow one another in it."""
    decoder = json.JSONDecoder()
    stream = _characters(path)
    buffer, place, line, in_array = "", 0, 1, False
    ended = False
    while True:
        begin, place = place, _next_value(buffer, place)
        line += buffer.count("\n", begin, place)
        if place < len(buffer) and not in_array and buffer[place] == "[":
            in_array, place = True, place + 1
            continue
        if in_array and buffer[place : place + 1] == "]":
            return
        try:
            value, end = decoder.raw_decode(buffer, place)
            whole = isinstance(value, dict) or end < len(buffer) or ended
        except (ValueError, RecursionError) as error:
            if ended and place == len(buffer) and not in_array:
                return
            if ended or not _may_be_unfinished(error, len(buffer)):
                fault = getattr(error, "pos", place)
                problem = "the file ends too early" if fault >= len(buffer) else getattr(error, "msg", str(error))
                raise DataError(path, f"not JSON: {problem}", line=line + buffer.count("\n", place, fault)) from None
            whole = False
        if whole:
            yield line, _object(value)
            line += buffer.count("\n", place, end)
            place = end
        else:
            buffer, place = buffer[place:], 0
            more, ended = _read_as_much_again(stream, len(buffer))
            buffer += more


def _next_value(buffer: str, place: int) -> int:
    """The place of the first character from `place` on that is not between two values."""
    found = VALUE_BEGINS.search(buffer, place)
    return len(buffer) if found is None else found.start()


def _may_be_unfinished(error: Exception, size: int) -> bool:
    """Whether more text could mend a JSON error: a string not ended, or a fault within the last few characters."""
    return isinstance(error, json.JSONDecodeError) and (error.msg.startswith("Unterminated string") or error.pos > size - 16)


def _read_as_much_again(stream: Iterator[str], size: int) -> tuple[str, bool]:
    """At least `size` more characters, so that a long value is parsed few times over; and whether the stream has ended."""
    parts: list[str] = []
    while sum(map(len, parts)) <= size:
        part = next(stream, None)
        if part is None:
            return "".join(parts), True
        parts.append(part)
    return "".join(parts), False


def _text_documents(path: str, span: Span | None) -> Iterator[tuple[int, Row | RowError]]:
    """A plain text in documents of at most 65,536 characters; put together they are the text, to the last character.

    A document ends at a blank line where it can, else at a line's end, else after a space. White space alone is no document
    and is joined to its neighbour.
    """
    line, pending = 1, ""
    for piece in _pieces(path, span):
        if pending.strip() and piece.strip():
            yield line, {"text": pending}
            line, pending = line + pending.count("\n"), ""
        pending += piece
    if pending:
        yield line, {"text": pending}


def _pieces(path: str, span: Span | None) -> Iterator[str]:
    buffer = ""
    for text in _characters(path, span):
        buffer += text
        begin = 0
        while len(buffer) - begin > TEXT_CHARACTERS:
            end = begin + TEXT_CHARACTERS
            found = ((buffer.rfind(mark, begin, end), len(mark)) for mark in ("\n\n", "\n", " "))
            end = next((place + length for place, length in found if place >= begin), end)
            yield buffer[begin:end]
            begin = end
        buffer = buffer[begin:]
    yield buffer


def _parquet_rows(path: str, span: Span | None) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = None if span is None else row_groups(file.metadata, span)
            for batch in file.iter_batches(PARQUET_ROWS, groups):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(path, f"cannot be read as Parquet ({error})") from None


def _hub_rows(location: str) -> Iterator[Row]:
    name, _, split = location.removeprefix(HUB).partition(":")
    owner, _, rest = name.partition("/")
    dataset, _, config = rest.partition("/")
    if not owner or not dataset:
        raise DataError(location, "is not the name of a data set", mend=f"Write {HUB}owner/name[/config][:split]")
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hf") from None

    try:
        yield from datasets.load_dataset(f"{owner}/{dataset}", config or None, split=split or "train", streaming=True)
    except (OSError, ValueError) as error:
        raise DataError(location, f"cannot be read ({error})") from None
