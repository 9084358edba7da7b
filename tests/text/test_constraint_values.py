"""Lists that constraints are drawn from: built in, in a file, or written by a model."""

from pathlib import Path

import pytest

from paddock.errors import DataError
from paddock.text.constraint_values import BUILT_IN, read_values, values_in


def test_the_papers_three_kinds_have_lists_without_repeats():
    assert set(BUILT_IN) == {"hobby", "figure", "language"}
    assert all(len(set(values)) == len(values) > 10 for values in BUILT_IN.values())


def test_lists_are_read_from_a_file(tmp_path: Path):
    (tmp_path / "lists.yaml").write_text("hobby: [tennis, chess]\nend_word: [lamp]\n")
    assert read_values(tmp_path / "lists.yaml") == {"hobby": ("tennis", "chess"), "end_word": ("lamp",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hobbies: [x]", '"hobbies" is no kind of constraint'),
        ("hobby: tennis", "a list of texts was expected"),
        ("hobby: []", "a list of texts was expected"),
        ("hobby: [1]", "a list of texts was expected"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: str, message: str):
    (tmp_path / "lists.yaml").write_text(content)
    with pytest.raises(DataError, match=message):
        read_values(tmp_path / "lists.yaml")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.yaml: there is no such file of lists"):
        read_values(tmp_path / "none.yaml")


def test_a_models_list_is_read_without_its_talk():
    text = "Sure! Here are some hobbies:\n\n1. Tennis\n2) Chess.\n- *Yoga*\n• Tennis\n3. " + "long " * 20 + "\nEnjoy!"
    assert values_in(text) == ("Tennis", "Chess", "Yoga")
