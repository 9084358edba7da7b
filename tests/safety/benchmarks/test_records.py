"""Published rows, and what is said of rows that cannot be."""

from __future__ import annotations

import gzip
import json

import pytest

from paddock.errors import DataError, EmptyDataError
from paddock.safety.benchmarks.records import file_in, read_records, sample_of


def test_csv_rows_stand_with_their_lines_packed_or_not(tmp_path):
    content = '\ufeffa,b\n1,"two\nlines"\n3,4\n'
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content.encode()))
    for name in ("t.csv", "t.csv.gz"):
        rows = list(read_records(str(tmp_path / name)))
        assert [row.values for row in rows] == [{"a": "1", "b": "two\nlines"}, {"a": "3", "b": "4"}]
        assert [row.line for row in rows] == [3, 4]


def test_json_and_json_lines_are_read(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps([{"a": 1}, {"a": 2}]))
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    for name in ("t.json", "t.jsonl"):
        assert [row.values["a"] for row in read_records(str(tmp_path / name))] == [1, 2]


def test_a_fault_names_file_line_and_mend(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("question,b\nx,y\n1,2,3\n")
    with pytest.raises(DataError, match=r"t\.csv:3: the row has not the header's 2 cells.*double quotes"):
        list(read_records(str(path)))
    (row, *_) = read_records(str(path)) if path.write_text("question,b\nx,\n") else ()
    with pytest.raises(DataError, match=r"t\.csv:2: field 'b': a text was expected"):
        row.text("b")
    with pytest.raises(DataError, match=r'no column \'questoin\'.*Did you mean "question"'):
        row.text("questoin")
    with pytest.raises(DataError, match="there is no such file"):
        list(read_records(str(tmp_path / "none.csv")))
    path.write_text("a,b\n")
    with pytest.raises(EmptyDataError):
        list(read_records(str(path)))


def test_lists_of_texts_may_be_parted_by_semicolons(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps([{"a": "x; y ;", "b": ["x", "y"], "c": [1]}]))
    (row,) = read_records(str(tmp_path / "t.json"))
    assert row.texts("a") == row.texts("b") == row.texts("none", "b") == ["x", "y"]
    with pytest.raises(DataError, match="field 'c'"):
        row.texts("c")


def test_a_folder_stands_for_the_file_in_it(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(b"")
    assert file_in(str(tmp_path), "x.csv") == str(tmp_path / "x.csv.gz")
    assert file_in("hf://a/b", "x.csv") == "hf://a/b"
    with pytest.raises(DataError, match=r"holds no y\.csv"):
        file_in(str(tmp_path), "y.csv")


def test_a_sample_keeps_the_order_and_is_the_same_by_the_seed():
    items = list(range(100))
    assert sample_of(items, None, 0) == sample_of(items, 100, 0) == items
    some = sample_of(items, 10, 1)
    assert some == sorted(some) == sample_of(items, 10, 1)
    assert len(set(some)) == 10
    assert some != sample_of(items, 10, 2)


def test_a_broken_archive_is_named(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 500)
    for content in (whole[:-9], whole[:12] + b"\xff" * 20 + whole[32:], b"no archive"):
        (tmp_path / "t.csv.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"t\.csv\.gz: cannot be read"):
            list(read_records(str(tmp_path / "t.csv.gz")))
