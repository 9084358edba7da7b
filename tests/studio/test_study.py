from __future__ import annotations

from pathlib import Path

import pytest

from paddock.errors import DataError, SettingsError
from paddock.settings import parse
from paddock.studio.study import StudySettings, read_study

PLAIN = {"name": "s", "task": "side-by-side", "data": "pairs.jsonl", "annotators": ["Ada", "Ben"]}


def test_three_raters_are_the_default():
    assert parse(StudySettings, PLAIN, "s.yaml").raters == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tsk": 1}, 'unknown setting "tsk"'),
        ({"annotators": ["Ada", "Ada"]}, "two people are called 'Ada'"),
        ({"leads": ["Ben"]}, "two people are called 'Ben'"),
        ({"annotators": [" "]}, "is no name"),
        ({"data": None}, "name the file of items"),
        ({"data": None, "sessions": 5}, "name the file of items"),
        ({"task": "red-team"}, "name one in models"),
        ({"models": [{"name": "a", "model": "m"}]}, "and not in side-by-side"),
        ({"task": "preference", "models": [{"name": "a", "model": "m"}]}, "two variants, and models names 1"),
        ({"task": "demonstration", "sessions": 4}, "give data or sessions"),
        ({"task": "demonstration", "qualification": {"data": "t.jsonl"}}, "name another task than demonstration"),
        ({"attention": {"data": "t.jsonl", "evry": 3}}, 'unknown setting "attention.evry"'),
    ],
)
def test_what_cannot_be_is_refused_in_words(change, says):
    with pytest.raises(SettingsError, match=says):
        parse(StudySettings, {**PLAIN, **change}, "s.yaml")


def test_names_may_look_like_numbers(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("name: s\ntask: safety\ndata: d.jsonl\nannotators: [17, Ada]\n")
    assert read_study(file).annotators == ("17", "Ada")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no such study"):
        read_study(tmp_path / "none.yaml")


def test_every_setting_is_described():
    page = (Path(__file__).parents[2] / "docs" / "studio.md").read_text()
    assert [name for name in StudySettings.model_fields if f"`{name}`" not in page] == []
