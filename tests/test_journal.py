"""The append-only file: whole blocks or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.journal import Journal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=3)


def test_what_was_added_is_there_in_the_next_process_and_the_later_of_two_holds(tmp_path: Path):
    journal = Journal(tmp_path / "deep" / "j.jsonl")
    journal.add({"a": 1, "b": {"text": "x\n\ny"}})
    journal.add({"a": None})
    assert Journal(journal.path).values == journal.values == {"a": None, "b": {"text": "x\n\ny"}}


def test_nothing_to_add_makes_no_file(tmp_path: Path):
    Journal(tmp_path / "j.jsonl").add({})
    assert not (tmp_path / "j.jsonl").exists()


@given(st.lists(st.dictionaries(TEXT, VALUES, min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_a_file_cut_at_any_byte_holds_the_blocks_before_and_takes_further_ones(tmp_path_factory, blocks, data):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    ends, expected = [0], [{}]
    for block in blocks:
        Journal(path).add(block)
        ends.append(path.stat().st_size)
        expected.append({**expected[-1], **block})
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    held = expected[max(number for number, end in enumerate(ends) if end <= cut)]
    journal = Journal(path)
    assert journal.values == held
    journal.add({"new": 1})
    assert Journal(path).values == {**held, "new": 1}


def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps({"key": "a", "value": 1}) + "\n{}\n\n")
    with pytest.raises(DataError, match=r"j\.jsonl:2: not a line of a journal"):
        Journal(path)
    assert path.read_text().endswith("{}\n\n")
