from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.errors import DataError
from paddock.run_dir import write_json_lines
from paddock.text.comparisons import Comparison, preference_row, read_comparisons
from paddock.text.dialog import Dialog, Message, Preference
from paddock.text.readers import read_preferences

PROMPT = Dialog((Message("user", "Hello."),), "p-1", "safety", "illicit")


def test_what_is_written_is_read_again(tmp_path: Path):
    comparisons = [Comparison(PROMPT, "a", "b", "one", "two"), Comparison(Dialog((Message("user", "Why?"),)), "c", "d")]
    write_json_lines(tmp_path / "pairs.jsonl", [comparison.to_row() for comparison in comparisons])
    assert list(read_comparisons(tmp_path / "pairs.jsonl")) == comparisons


def test_a_row_without_two_replies_is_named(tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"prompt": "Hello.", "reply_a": "a"}) + "\n")
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: there is no 'reply_b'"):
        list(read_comparisons(tmp_path / "pairs.jsonl"))


def test_a_preference_is_read_as_it_was_written(tmp_path: Path):
    preferences = [
        Preference(PROMPT.messages, "a", "b", "slightly", "safety", True, False, "Ada", "one", "two"),
        Preference(PROMPT.messages, "a", "b"),
    ]
    write_json_lines(tmp_path / "preferences.jsonl", map(preference_row, preferences))
    assert list(read_preferences([tmp_path / "preferences.jsonl"])) == preferences
