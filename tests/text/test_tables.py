"""What each kind of file gives, and what stands in an error."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from paddock.errors import DataError, EmptyDataError
from paddock.text.tables import read_table

ROWS = [{"item": "q1", "rating": 1, "note": "x, y"}, {"item": "q2", "rating": 2.5, "note": None}]


def written(folder: Path, ending: str) -> Path:
    file = folder / f"table{ending}"
    text = 'item,rating,note\nq1,1,"x, y"\nq2, 2.5 ,NA\n'
    if ending == ".csv":
        file.write_text(text)
    elif ending == ".csv.gz":
        file.write_bytes(gzip.compress(text.encode()))
    elif ending == ".tsv":
        file.write_text("item\trating\tnote\nq1\t1\tx, y\nq2\t2.5\t\n")
    elif ending == ".json":
        file.write_text(json.dumps(ROWS))
    elif ending == ".jsonl":
        file.write_text("\n".join(map(json.dumps, ROWS)))
    else:
        parquet.write_table(pa.Table.from_pylist(ROWS), file)
    return file


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_kind_of_file_gives_the_same_columns(tmp_path, ending):
    table = read_table(written(tmp_path, ending))
    assert list(table.columns) == ["item", "rating", "note"]
    assert table.column("item").tolist() == ["q1", "q2"]
    assert table.column("rating").tolist() == [1.0, 2.5]
    assert table.column("note").tolist() == ["x, y", None]


@pytest.mark.parametrize(("ending", "line"), [(".csv", 3), (".tsv", 3), (".jsonl", 2), (".parquet", 2)])
def test_a_row_knows_its_line(tmp_path, ending, line):
    file = written(tmp_path, ending)
    error = read_table(file).error(1, "odd", field="rating", mend="Mend it")
    assert str(error) == f"{file}:{line}: field 'rating': odd. Mend it"


def test_lines_are_those_of_the_file_behind_blank_lines_and_quoted_breaks(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text('item,text\n\n1,"two\nlines"\n\n2,one\n')
    table = read_table(file)
    assert table.column("text").tolist() == ["two\nlines", "one"]
    assert [table.line_of(row) for row in (0, 1)] == [4, 6]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_the_headers(tmp_path, separator):
    file = tmp_path / "t.csv"
    file.write_text(f"\ufeffa{separator}b\n1{separator}2\n", encoding="utf-8")
    assert read_table(file).together(["a", "b"]).tolist() == [[1, 2]]


def test_missing_cells_among_numbers_are_nan_and_among_words_none(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,x\n,\nNA,NA\nNaN,nan\n02,y\n")
    table = read_table(file)
    assert [None if math.isnan(value) else value for value in table.column("a")] == [1, None, None, None, 2]
    assert table.column("b").tolist() == ["x", None, None, None, "y"]


def test_one_word_among_numbers_makes_words_of_the_columns_beside_it(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,2\n3,x\n")
    assert read_table(file).together(["a", "b"]).tolist() == [["1", "2"], ["3", "x"]]
    assert read_table(file).column("a").dtype == np.float64


def test_numbers_beyond_the_first_megabyte_are_read_as_the_first_are(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a\n" + "1\n" * 700_000 + "1.5\n")
    assert read_table(file).column("a")[-1] == 1.5


def test_a_nested_column_comes_as_it_is(tmp_path):
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.Table.from_pylist([{"prompt": [{"role": "user"}]}, {"prompt": None}]), file)
    assert read_table(file).column("prompt").tolist() == [[{"role": "user"}], None]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.csv", b"a,b\n1,2\n1,2,3\n", r"t.csv:3: 3 cells, and the header has 2"),
        ("t.csv", b"a,a\n1,2\n", r"t.csv:1: two columns have the name 'a'"),
        ("t.csv", b"a,b\n1,\xff\n", r"t.csv:2: invalid UTF-8"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', r"t.jsonl:2: not JSON"),
        ("t.parquet", b"PAR1", "cannot be read as Parquet"),
        ("t.xlsx", b"", "this kind of file is not read"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read_table(tmp_path / name)


@pytest.mark.parametrize(("name", "content"), [("t.csv", ""), ("t.csv", "a,b\n"), ("t.jsonl", "")])
def test_a_file_without_rows_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(EmptyDataError):
        read_table(tmp_path / name)


def test_a_missing_file_and_a_missing_column_are_answered_with_the_nearest(tmp_path):
    file = written(tmp_path, ".csv")
    with pytest.raises(DataError, match=r'Did you mean "table\.csv"'):
        read_table(tmp_path / "tabel.csv")
    with pytest.raises(DataError, match=r'Its columns: item, rating, note\. Did you mean "rating"'):
        read_table(file).column("ratings")
