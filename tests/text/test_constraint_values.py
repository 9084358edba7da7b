"""Lists that constraints are drawn from: built in, in a file, or written by a model."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.text.constraint_values import BUILT_IN, known_and_new, read_values, values_in


def test_the_papers_three_kinds_have_lists_without_repeats():
    assert set(BUILT_IN) == {"hobby", "figure", "language"}
    assert all(len(set(values)) == len(values) > 10 for values in BUILT_IN.values())


def test_lists_are_read_from_a_file(tmp_path: Path):
    (tmp_path / "lists.yaml").write_text("hobby: [tennis, chess]\nend_word: [lamp]\n")
    assert read_values(tmp_path / "lists.yaml") == {"hobby": ("tennis", "chess"), "end_word": ("lamp",)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hobbies: [x]", r"lists\.yaml:1: field 'hobbies': \"hobbies\" is no kind of constraint"),
        ("figure: [x]\nhobby: tennis", r"lists\.yaml:2: field 'hobby': a list of texts was expected"),
        ("hobby: []", r"lists\.yaml:1: field 'hobby': a list of texts was expected"),
        ("hobby: [1]", "a text was expected, found 1"),
        ("figure:\n- Anna\n- '?!'\n", r"lists\.yaml:3: field 'figure': \"\?!\" holds no word .*Write a word or a name"),
        ("end_word: ['']", r"lists\.yaml:1: field 'end_word': .*holds no word"),
        ("hobby: ['<<SYS>>']", r"contains <<SYS>>, a tag of the chat format"),
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


def test_a_models_items_without_a_word_are_passed_over():
    assert values_in("1. ---\n2. Tennis\n3. [INST]") == ("Tennis",)


words = st.lists(st.text(alphabet="abcdefghij", min_size=1, max_size=4), min_size=1, max_size=40, unique=True)


@given(words, st.floats(0, 0.99))
def test_every_value_is_known_or_new_and_never_both(values: list[str], share: float):
    known, new = ({"hobby": (), **side}["hobby"] for side in known_and_new({"hobby": tuple(values)}, share))
    assert sorted([*known, *new]) == sorted(values)
    assert known
    assert bool(new) == (share > 0 and len(values) > 1)


@given(words, words)
def test_a_value_is_on_one_side_whatever_stands_beside_it(some: list[str], others: list[str]):
    """But for the one of a short list that is new so that the list has one, and the one that is known for the same cause."""
    _, new = known_and_new({"hobby": tuple(some)}, 0.2)
    _, new_among_more = known_and_new({"hobby": tuple(dict.fromkeys([*some, *others]))}, 0.2)
    moved = set(new.get("hobby", ())) ^ (set(new_among_more.get("hobby", ())) & set(some))
    assert len(moved) <= 1


def test_about_one_value_in_five_is_new():
    many = tuple(f"hobby {n}" for n in range(2000))
    assert len(known_and_new({"hobby": many}, 0.2)[1]["hobby"]) / 2000 == pytest.approx(0.2, abs=0.03)


def test_the_side_of_a_value_knows_no_case_and_no_accent():
    many = tuple(f"café {n}" for n in range(200))
    plain = {value.replace("é", "e").upper() for value in known_and_new({"hobby": many}, 0.2)[1]["hobby"]}
    assert set(known_and_new({"hobby": tuple(v.replace("é", "e").upper() for v in many)}, 0.2)[1]["hobby"]) == plain
