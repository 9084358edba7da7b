"""The first rows of a stream, and what they say of all of them."""

from __future__ import annotations

import gzip
from itertools import count
from pathlib import Path

import pytest

from paddock.text import sample
from paddock.text.readers import Source, read_documents
from paddock.text.sample import Sample, bytes_of


def documents(folder: Path, number: int) -> Source:
    (folder / "rows.jsonl").write_text("".join(f'{{"text": "row {place:06}"}}\n' for place in range(number)))
    return Source(path=str(folder / "rows.jsonl"))


def test_all_of_a_small_corpus_is_counted_exactly(tmp_path: Path) -> None:
    source = documents(tmp_path, 30)
    rows = Sample(read_documents([source]), len, [source])
    assert len(list(rows)) == rows.rows == 30
    assert (rows.bytes, rows.scale, rows.counted) == (300, 1.0, "exactly")


def test_of_a_large_corpus_the_first_rows_are_read_and_file_sizes_give_the_rest(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 40)
    source = documents(tmp_path, 1000)
    rows = Sample(read_documents([source]), lambda text: len(text) + len('{"text": ""}\n'), [source])
    assert len(list(rows)) == 40
    assert rows.rows * rows.scale == 1000
    assert rows.counted.startswith("estimated from the first 40 rows")


def test_long_rows_end_a_sample_by_their_bytes(monkeypatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 100)
    rows = Sample(("x" * 30 for _ in count()), len, [])
    assert len(list(rows)) == 4
    assert rows.scale == 1.0  # a hub's data set has no size that is known here


@pytest.mark.parametrize(("name", "factor"), [("a.jsonl", 1.0), ("a.jsonl.gz", 4.0)])
def test_bytes_are_those_of_the_rows_that_an_epoch_shows(tmp_path: Path, name: str, factor: float) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(b'{"text": "a"}\n') if name.endswith("gz") else b'{"text": "a"}\n')
    sources = [Source(path=str(file), weight=2.5), Source(path="hf://owner/name")]
    assert bytes_of(sources) == 2.5 * file.stat().st_size * factor
