"""Scripts made ready: lengths, instructions, lists."""

from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.protocols import Completion
from paddock.run_dir import write_json_lines
from paddock.settings import parse
from paddock.stages.instructions import (
    ScriptSettings,
    ask_lists,
    instructed,
    joined,
    lengths_up_to,
    lists_of,
    read,
)
from paddock.text.constraint_values import BUILT_IN, UNSEEN, known_and_new
from paddock.text.constraints import FORMS, Constraint
from paddock.text.scripts import Script


def scripts(lengths: list[int]) -> list[Script]:
    return [Script(tuple(f"{place}.{turn}" for turn in range(n)), id=str(place)) for place, n in enumerate(lengths)]


@given(st.lists(st.integers(1, 5), max_size=40), st.integers(1, 20), st.integers(0, 99))
def test_joined_dialogs_hold_the_messages_in_order_and_none_twice(lengths: list[int], most: int, seed: int):
    found = [turn for script in joined(scripts(lengths), lengths_up_to(most, seed)) for turn in script.turns]
    given_ = [turn for script in scripts(lengths) for turn in script.turns]
    places = [given_.index(turn) for turn in found]
    assert places == sorted(set(places))
    assert all(1 <= len(script.turns) <= most for script in joined(scripts(lengths), lengths_up_to(most, seed)))


def test_lengths_from_one_to_the_most_are_drawn_alike():
    lengths = [len(script.turns) for script in joined(scripts([1] * 20_000), lengths_up_to(20, 0))]
    assert all(60 < lengths.count(length) < 140 for length in range(1, 21))


def test_a_drawn_instruction_asks_for_its_constraints():
    (found,) = instructed([Script(("Hi",))], {"": {"figure": ("Napoleon",)}}, 3, "test")
    assert found.constraints == (Constraint("figure", "Napoleon"),)
    assert found.instruction in ("Always act as Napoleon.", "Figure: Napoleon.")


def test_an_instruction_that_is_there_stays():
    given_ = Script(("Hi",), "Be brief.", (Constraint("other", "Be brief."),), "own")
    assert instructed([given_], {"": BUILT_IN}, 3, "test") == [given_]


def test_instructions_depend_on_the_place_and_the_salt_alone():
    few, many = (instructed(scripts([1] * count), {"": BUILT_IN}, 3, "a") for count in (3, 9))
    assert many[:3] == few
    assert instructed(scripts([1] * 9), {"": BUILT_IN}, 3, "b") != many


def test_groups_are_drawn_from_in_turn_and_named_beside_a_scripts_own():
    known, new = known_and_new(BUILT_IN, 0.2)
    groups = {"known": known, "new": new, "unseen": UNSEEN}
    drawn = instructed([replace(script, group="HH") for script in scripts([1] * 300)], groups, 3, "test")
    assert [script.group for script in drawn[:4]] == ["HH, known", "HH, new", "HH, unseen", "HH, known"]
    asked = {name: [c for script in drawn[place::3] for c in script.constraints] for place, name in enumerate(groups)}
    assert {constraint.kind for constraint in asked["unseen"]} == set(FORMS)
    for name, values in (("known", known), ("new", new)):
        assert all(constraint.value in values[constraint.kind] for constraint in asked[name])
    assert not {c.value for c in asked["known"]} & {c.value for c in asked["new"]}


class Lister:
    def __init__(self, text: str) -> None:
        self.text = text

    def complete(self, prompts, sampling):
        return [[Completion(f"Of course:\n1. {self.text} {place}")] for place in range(len(prompts))]


def test_a_model_is_asked_for_hobbies_and_figures():
    assert ask_lists(Lister("x")) == {"hobby": ("x 0",), "figure": ("x 1",)}


def test_a_model_that_tells_no_list_is_named():
    with pytest.raises(DataError, match="the model wrote no list of hobby"):
        ask_lists(Lister("x" * 60))


@pytest.fixture
def values(tmp_path: Path) -> dict:
    write_json_lines(tmp_path / "data.jsonl", [{"messages": [{"role": "user", "content": f"u{n}"}]} for n in range(9)])
    (tmp_path / "lists.yaml").write_text("hobby: [chess]\n")
    return {"data": [str(tmp_path / "data.jsonl")]}


def test_lists_come_from_where_the_settings_say(values: dict, tmp_path: Path):
    def lists(where: str):
        return lists_of(parse(ScriptSettings, {**values, "lists": where}, "test"), [Script(("Hi",))], lambda: Lister("x"))

    assert lists("built-in") == BUILT_IN
    assert lists("model") == {**BUILT_IN, "hobby": ("x 0",), "figure": ("x 1",)}
    assert lists(str(tmp_path / "lists.yaml")) == {"hobby": ("chess",)}


def test_rows_are_joined_where_lengths_are_asked_for(values: dict):
    assert len(read(parse(ScriptSettings, values, "test"), lengths_up_to)) == 9
    joined_scripts = read(parse(ScriptSettings, {**values, "turns": 4}, "test"), lambda turns, seed: repeat(turns))
    assert [script.turns for script in joined_scripts] == [("u0", "u1", "u2", "u3"), ("u4", "u5", "u6", "u7")]


def test_a_model_is_not_asked_where_every_dialog_has_its_instruction(values: dict):
    wanted = parse(ScriptSettings, {**values, "lists": "model"}, "test")
    given_ = Script(("Hi",), "Be brief.", (Constraint("other", "Be brief."),), "own")
    assert lists_of(wanted, [given_], lambda: pytest.fail("asked")) == {}


TOY = '{"vocabularies": {"Zindo": ["so"]}, "neutral": []}'


@pytest.mark.parametrize(
    ("lists", "toy", "message"),
    [
        ("language:\n- French\n- Klingon\n", False, r"lists\.yaml:3: field 'language': .* \"Klingon\"\. Known are Arabic"),
        ("language: [French]\n", True, r"lists\.yaml:1: .* \"French\"\. Known are those of .*toy\.json: Zindo"),
        (None, True, r"lists: field 'language': no rule can tell the language \"French\""),
    ],
)
def test_a_list_with_a_language_that_no_rule_can_tell_is_refused(
    values: dict, tmp_path: Path, lists: str | None, toy: bool, message: str
):
    (tmp_path / "lists.yaml").write_text(lists or "")
    (tmp_path / "toy.json").write_text(TOY)
    changes = {"lists": str(tmp_path / "lists.yaml")} if lists else {}
    changes |= {"vocabularies": str(tmp_path / "toy.json")} if toy else {}
    with pytest.raises(DataError, match=message):
        lists_of(parse(ScriptSettings, {**values, **changes}, "test"), [Script(("Hi",))], lambda: Lister("x"))


def test_a_row_with_a_language_that_no_rule_can_tell_is_a_bad_row(tmp_path: Path, capsys):
    rows = [
        {"messages": [{"role": "user", "content": "Hi"}], "constraints": [{"kind": "language", "value": language}]}
        for language in ("French", "Klingon")
    ]
    write_json_lines(tmp_path / "data.jsonl", rows)
    values = {"data": [str(tmp_path / "data.jsonl")]}
    problem = r"data\.jsonl:2: field 'constraints': no rule can tell the language \"Klingon\"\. Known"
    with pytest.raises(DataError, match=problem):
        read(parse(ScriptSettings, values, "test"), lengths_up_to)
    (found,) = read(parse(ScriptSettings, {**values, "on_bad_row": "skip"}, "test"), lengths_up_to)
    assert found.constraints[0].value == "French"
    assert "1 rows; 1 skipped (a language that no rule can tell 1)" in capsys.readouterr().err


def test_no_dialog_is_an_error(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="there is no dialog in it"):
        read(parse(ScriptSettings, {"data": [str(tmp_path / "empty.jsonl")]}, "test"), lengths_up_to)
