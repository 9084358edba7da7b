"""Rows out of files: every kind and packing, damaged files, and memory that does not grow."""

from __future__ import annotations

import codecs
import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from paddock.errors import DataError, MissingExtraError
from paddock.text import files
from paddock.text.files import RowError, read_rows

ROWS = [{"text": "one"}, {"text": "zwei, ö 🦙"}, {"text": "a\nb", "id": 3}]
JSON_LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}

packings = pytest.mark.parametrize("packing", PACKINGS)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=8), scalars, max_size=3)


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def rows_of(path: str) -> list[Any]:
    return [row for _, row in read_rows(path)]


# --- JSON Lines ---


@packings
def test_json_lines_are_read_packed_or_not(tmp_path: Path, packing: str):
    path = write(tmp_path, f"a.jsonl{packing}", PACKINGS[packing](JSON_LINES))
    assert list(read_rows(path)) == list(enumerate(ROWS, start=1))


@packings
def test_files_packed_in_parts_are_read_to_the_end(tmp_path: Path, packing: str):
    first, *rest = JSON_LINES.splitlines(keepends=True)
    parts = PACKINGS[packing](first) + PACKINGS[packing](b"".join(rest))
    assert rows_of(write(tmp_path, f"a.jsonl{packing}", parts)) == ROWS


def test_lines_are_counted_with_blank_ones(tmp_path: Path):
    path = write(tmp_path, "a.jsonl", b'\n{"text": "x"}\r\n  \n{"text": "y"}')
    assert list(read_rows(path)) == [(2, {"text": "x"}), (4, {"text": "y"})]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path):
    assert rows_of(write(tmp_path, "a.jsonl", codecs.BOM_UTF8 + JSON_LINES)) == ROWS


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_lines_do_not_depend_on_the_size_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int):
    monkeypatch.setattr(files, "CHUNK_BYTES", size)
    for packing, pack in PACKINGS.items():
        assert rows_of(write(tmp_path, f"a.jsonl{packing}", pack(JSON_LINES))) == ROWS


@pytest.mark.parametrize(
    ("line", "reason", "problem"),
    [
        (b'{"text": "x"', "not JSON", "not JSON: Expecting ',' delimiter at column 13"),
        (b'{"text": "caf\xe9"}', "invalid UTF-8", "invalid UTF-8: byte 0xe9 at position 13"),
        (b'["text"]', "not a JSON object", 'not a JSON object: ["text"]'),
    ],
)
def test_a_bad_line_is_named_and_the_next_is_read(tmp_path: Path, line: bytes, reason: str, problem: str):
    bad, good = rows_of(write(tmp_path, "a.jsonl", line + b"\n" + JSON_LINES.splitlines()[0]))
    assert isinstance(bad, RowError)
    assert (bad.reason, bad.problem) == (reason, problem)
    assert good == ROWS[0]


@pytest.mark.parametrize("value", [b"[" * 100_000, b"9" * 5000])
@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_json_beyond_the_parser_is_an_error_of_its_row_or_file(tmp_path: Path, value: bytes, kind: str):
    path = write(tmp_path, f"a.{kind}", b'{"x": ' + value + b"}\n")
    if kind == "jsonl":
        assert [row.reason for row in rows_of(path)] == ["not JSON"]
    else:
        with pytest.raises(DataError, match="not JSON"):
            rows_of(path)


# --- JSON ---


@packings
@pytest.mark.parametrize("indent", [None, 2])
def test_json_arrays_are_read_packed_or_not(tmp_path: Path, packing: str, indent: int | None):
    content = json.dumps(ROWS, indent=indent).encode()
    assert rows_of(write(tmp_path, f"a.json{packing}", PACKINGS[packing](content))) == ROWS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.text(max_size=8), values, max_size=4), max_size=5),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_json_arrays_equal_the_parser_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], size: int, indent: int | None, ascii_only: bool
):
    monkeypatch.setattr(files, "CHUNK_BYTES", size)
    content = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    assert rows_of(write(tmp_path, "a.json", content)) == json.loads(content)


def test_a_row_of_an_array_has_the_line_it_begins_on(tmp_path: Path):
    content = b'[\n  {"text":\n "x"},\n\n  {"text": "y"},\n  7\n]\n'
    found = list(read_rows(write(tmp_path, "a.json", content)))
    assert [line for line, _ in found] == [2, 5, 6]
    assert isinstance(found[2][1], RowError)


def test_a_json_file_of_lines_is_read_as_lines(tmp_path: Path):
    assert rows_of(write(tmp_path, "a.json", JSON_LINES)) == ROWS


def test_a_json_file_of_one_object_is_one_row(tmp_path: Path):
    assert rows_of(write(tmp_path, "a.json", b' {"text": "x"} ')) == [{"text": "x"}]


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b"[ ]"])
def test_an_empty_json_file_has_no_rows(tmp_path: Path, content: bytes):
    assert rows_of(write(tmp_path, "a.json", content)) == []


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b'[{"text": "x"},\n', 2, "not JSON: the file ends too early"),
        (b'[{"text": "x"},\n{"text": "y', 2, "not JSON: Unterminated string starting at"),
        (b'[{"text": "x"},\n{text: "y"}]', 2, "not JSON: Expecting property name enclosed in double quotes"),
        (b'[{"text":\n"x" "y"}]', 2, "not JSON: Expecting ',' delimiter"),
        (b"[\n\n<html>", 3, "not JSON: Expecting value"),
        (b'[{"text":\n"x\xff"}]', 2, "invalid UTF-8: byte 0xff"),
        (b'[{"text":\n"x\xc3', 2, "invalid UTF-8: the last character is cut short"),
    ],
)
def test_a_damaged_array_is_an_error_with_its_line(tmp_path: Path, content: bytes, line: int, problem: str):
    path = write(tmp_path, "a.json", content)
    with pytest.raises(DataError) as caught:
        rows_of(path)
    assert (caught.value.path, caught.value.line, caught.value.problem) == (path, line, problem)


def test_a_fault_is_found_without_reading_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "CHUNK_BYTES", 100)
    path = write(tmp_path, "a.json", b'[{"text" "x"},' + b" " * 200 + b"\xff" * 1000)
    with pytest.raises(DataError, match="not JSON: Expecting ':' delimiter"):
        rows_of(path)


# --- plain text ---


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("ab \n\r🦙é")), st.integers(1, 9), st.integers(1, 20))
def test_documents_of_a_text_put_together_are_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int, chunk: int
):
    monkeypatch.setattr(files, "TEXT_CHARACTERS", size)
    monkeypatch.setattr(files, "CHUNK_BYTES", chunk)
    path = write(tmp_path, "a.txt", text.encode())
    documents = [row["text"] for row in rows_of(path)]
    assert "".join(documents) == text
    assert all(document.strip() for document in documents) or not text.strip()


def test_documents_of_a_text_end_at_blank_lines_where_they_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "TEXT_CHARACTERS", 12)
    path = write(tmp_path, "a.txt", b"one\ntwo\n\nthree\nfour five six")
    assert list(read_rows(path)) == [
        (1, {"text": "one\ntwo\n\n"}),
        (4, {"text": "three\n"}),
        (5, {"text": "four five "}),
        (5, {"text": "six"}),
    ]


def test_a_text_that_is_no_utf8_is_an_error_with_its_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.txt:2: invalid UTF-8: byte 0xe9"):
        rows_of(write(tmp_path, "a.txt", b"one\ncaf\xe9\n"))


# --- damaged and missing files ---


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".txt"])
def test_a_truncated_archive_is_an_error(tmp_path: Path, packing: str, kind: str):
    content = PACKINGS[packing](JSON_LINES * 500)
    with pytest.raises(DataError, match="the archive ends before its end"):
        rows_of(write(tmp_path, f"a{kind}{packing}", content[: len(content) // 2]))


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_file_that_is_not_packed_as_its_name_says_is_an_error(tmp_path: Path, packing: str):
    with pytest.raises(DataError, match="cannot be read"):
        rows_of(write(tmp_path, f"a.jsonl{packing}", JSON_LINES))


def test_a_missing_file_is_answered_with_a_near_name(tmp_path: Path):
    write(tmp_path, "train.jsonl", JSON_LINES)
    with pytest.raises(DataError, match=r'there is no such file. Did you mean "train\.jsonl"\?'):
        rows_of(str(tmp_path / "tran.jsonl"))


@pytest.mark.parametrize("name", ["a.docx", "a.parquet.gz", "jsonl"])
def test_an_unknown_kind_is_an_error_that_lists_the_known(tmp_path: Path, name: str):
    with pytest.raises(DataError, match=r"Known endings: \.jsonl"):
        rows_of(write(tmp_path, name, b""))


# --- Parquet and the hub ---


def test_parquet_rows_are_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "PARQUET_ROWS", 2)
    rows = [{"messages": [{"role": "user", "content": f"m{number}"}]} for number in range(5)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(read_rows(str(tmp_path / "a.parquet"))) == list(enumerate(rows, start=1))


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        rows_of(write(tmp_path, "a.parquet", b"PAR1 and nothing more"))


@pytest.mark.parametrize(
    ("location", "arguments"),
    [
        ("hf://owner/name", ("owner/name", None, "train")),
        ("hf://owner/name:test", ("owner/name", None, "test")),
        ("hf://owner/name/config:validation[:5]", ("owner/name", "config", "validation[:5]")),
    ],
)
def test_hub_data_sets_are_streamed(monkeypatch: pytest.MonkeyPatch, location: str, arguments: tuple[str | None, ...]):
    def load_dataset(path: str, name: str | None, split: str, streaming: bool) -> list[dict[str, str]]:
        assert streaming
        return [{"text": str((path, name, split))}]

    library = ModuleType("datasets")
    monkeypatch.setattr(library, "load_dataset", load_dataset, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", library)
    assert list(read_rows(location)) == [(1, {"text": str(arguments)})]


def test_a_hub_data_set_without_the_library_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'paddock\[hf\]'"):
        rows_of("hf://owner/name")


def test_a_hub_name_without_owner_is_an_error():
    with pytest.raises(DataError, match="Write hf://owner/name"):
        rows_of("hf://name")


# --- memory ---


@packings
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".txt"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, packing: str):
    monkeypatch.setattr(files, "CHUNK_BYTES", 2**14)
    line = json.dumps({"text": "the horse grazes near the river " * 30}) + "\n"
    content = "[" + ",".join([line] * 4000) + "]" if kind == ".json" else line * 4000  # 4 MB
    path = write(tmp_path, f"a{kind}{packing}", PACKINGS[packing](content.encode()))
    tracemalloc.start()
    count = sum(1 for _ in read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count >= 50
    assert peak < 1_000_000
