"""Files in parts: every row in exactly one of them, wherever the cuts are."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from paddock.errors import DataError
from paddock.text import files, spans
from paddock.text.files import RowError, read_rows
from paddock.text.spans import spans_of

LINES = b'\xef\xbb\xbf{"n": 1}\n\n{"n": "longer, \xc3\xa9"}\r\nnot JSON\n{"n": [3]}\n\n{"n": 4}'
BOM_WITHIN = b'{"n": 1}\n\xef\xbb\xbf{"n": 2}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spans")


def rows_of(path: Path, cuts: list[int]) -> list[object]:
    """The rows of all spans, faults by their problem."""
    bounds = [0, *sorted(cut % path.stat().st_size for cut in cuts), path.stat().st_size]
    rows = [row for span in pairwise(bounds) for _, row in read_rows(str(path), span)]
    return [row.problem if isinstance(row, RowError) else row for row in rows]


def whole(path: Path) -> list[object]:
    return [row.problem if isinstance(row, RowError) else row for _, row in read_rows(str(path))]


@pytest.mark.parametrize("content", [LINES, LINES + b"\n", BOM_WITHIN, b"\n", b'{"n": 1}'])
@given(cuts=st.lists(st.integers(0, 200), max_size=6), search=st.integers(1, 9), chunk=st.integers(1, 9))
def test_each_line_is_in_one_part_wherever_the_cuts_are(
    folder: Path, content: bytes, cuts: list[int], search: int, chunk: int
):
    path = folder / f"{hash(content)}.jsonl"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "SEARCH_BYTES", search)
        patch.setattr(files, "CHUNK_BYTES", chunk)
        assert rows_of(path, cuts) == whole(path)


@given(cuts=st.lists(st.integers(0, 10_000), max_size=6), group=st.integers(1, 40))
def test_each_row_group_is_in_one_part_wherever_the_cuts_are(folder: Path, cuts: list[int], group: int):
    path = folder / f"{group}.parquet"
    if not path.exists():
        rows = [{"text": f"text {number % 7}", "number": number} for number in range(30)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=group)
    assert rows_of(path, cuts) == whole(path)


@given(cuts=st.lists(st.integers(0, 4000), max_size=6), size=st.integers(1, 90))
def test_parts_of_a_text_put_together_are_the_text(folder: Path, cuts: list[int], size: int):
    text = "".join(f"line {number} é\n" + "\n" * (number % 3) for number in range(90))
    path = folder / "a.txt"
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "TEXT_CHARACTERS", size)
        assert "".join(row["text"] for row in rows_of(path, cuts)) == text


def test_a_fault_in_a_part_of_a_text_has_the_line_of_the_file(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\nthree\nf\xffur\n")
    with pytest.raises(DataError, match=r"a\.txt:4: invalid UTF-8: byte 0xff"):
        list(read_rows(str(path), (6, 18)))
    path.write_bytes(b"one\ntwo\nthree\nfour \xc3")
    with pytest.raises(DataError, match=r"a\.txt:4: invalid UTF-8: the last character"):
        list(read_rows(str(path), (8, 20)))


def test_a_large_file_is_cut_and_a_packed_or_small_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spans, "SPAN_BYTES", 10)
    for name in ("a.jsonl", "a.txt", "a.parquet", "a.json", "a.jsonl.gz", "a.txt.zst", "a.warc"):
        (tmp_path / name).write_bytes(b"x" * 25)
        cut = name in ("a.jsonl", "a.txt", "a.parquet")
        assert spans_of(str(tmp_path / name)) == ([(0, 10), (10, 20), (20, 25)] if cut else [None])
    (tmp_path / "b.jsonl").write_bytes(json.dumps({"n": 12}).encode()[:10])
    assert spans_of(str(tmp_path / "b.jsonl")) == [None]
