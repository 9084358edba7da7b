"""Scripts made ready: lengths, instructions, lists."""

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
    prepared,
    read,
)
from paddock.text.constraint_values import BUILT_IN
from paddock.text.constraints import Constraint
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
    (found,) = instructed([Script(("Hi",))], {"figure": ("Napoleon",)}, 3, 0)
    assert found.constraints == (Constraint("figure", "Napoleon"),)
    assert found.instruction in ("Always act as Napoleon.", "Figure: Napoleon.")


def test_an_instruction_that_is_there_stays():
    given_ = Script(("Hi",), "Be brief.", (Constraint("other", "Be brief."),), "own")
    assert instructed([given_], BUILT_IN, 3, 0) == [given_]


def test_instructions_depend_on_the_place_and_the_seed_alone():
    few, many = (instructed(scripts([1] * count), BUILT_IN, 3, 7) for count in (3, 9))
    assert many[:3] == few
    assert instructed(scripts([1] * 9), BUILT_IN, 3, 8) != many


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
        return lists_of(parse(ScriptSettings, {**values, "lists": where}, "test"), lambda: Lister("x"))

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
    assert prepared(wanted, [given_], lambda: pytest.fail("asked")) == ([given_], {})


def test_no_dialog_is_an_error(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="there is no dialog in it"):
        read(parse(ScriptSettings, {"data": [str(tmp_path / "empty.jsonl")]}, "test"), lengths_up_to)
