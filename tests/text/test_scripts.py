"""Scripts: read from any form of dialog, and put into dialogs with the instruction where it belongs."""

import gzip
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.text.constraints import Constraint
from paddock.text.dialog import Message, problem_with_order
from paddock.text.files import RowError
from paddock.text.readers import read_scripts
from paddock.text.scripts import Script, as_dialog, as_sampled, script_of

ASKED = "Figure: Napoleon."
SCRIPT = Script(("one", "two", "three"), ASKED, (Constraint("figure", "Napoleon"),), "s")


def contents(dialog) -> list[str]:
    return [f"{message.role}: {message.content}" for message in dialog.messages]


def test_the_users_messages_of_a_dialog_are_read_whatever_was_answered():
    messages = [("system", ASKED), ("user", "one"), ("assistant", "x"), ("user", "two"), ("assistant", "y")]
    script = script_of({"messages": [{"role": role, "content": content} for role, content in messages]})
    assert (script.turns, script.instruction) == (("one", "two"), ASKED)


def test_an_instruction_without_constraints_is_left_to_a_judge():
    messages = [{"role": "system", "content": ASKED}, {"role": "user", "content": "one"}]
    assert script_of({"messages": messages}).constraints == (Constraint("other", ASKED),)


def test_later_turns_follow_those_of_the_dialog():
    row = {"messages": [{"role": "user", "content": "one"}], "later": [{"content": "two", "task": {}}, "three"]}
    assert script_of(row).turns == ("one", "two", "three")


def test_all_turns_of_mt_bench_are_read():
    assert script_of({"turns": ["one", "two"]}).turns == ("one", "two")


def test_a_script_survives_the_trip_through_its_row():
    script = Script(("one", "two"), ASKED, (Constraint("figure", "Napoleon"),), "s", "new values", (1, 2))
    assert script_of(json.loads(json.dumps(script.to_row()))) == script


@pytest.mark.parametrize("constraint", [{"kind": "rhyme"}, "figure", {"value": "x"}, {"kind": "figure", "value": "?!"}])
def test_a_constraint_that_cannot_be_read_or_kept_is_named_by_its_place(constraint):
    fine = {"kind": "hobby", "value": "chess"}
    with pytest.raises(RowError, match="no constraint can be read") as caught:
        script_of({"messages": [{"role": "user", "content": "one"}], "constraints": [fine, constraint]})
    assert caught.value.field == "constraints[1]"
    assert caught.value.mend.startswith("Write each as")


def test_constraints_that_are_no_list_are_refused():
    with pytest.raises(RowError, match="a list of constraints was expected"):
        script_of({"messages": [{"role": "user", "content": "one"}], "constraints": 3})


@pytest.mark.parametrize("cuts", ["12", [0], [3], [True], [1.5], 1])
def test_cuts_that_are_no_turns_of_the_dialog_are_refused(cuts):
    with pytest.raises(RowError, match="a list of turns from 1 to 2 was expected"):
        script_of({"turns": ["one", "two"], "cuts": cuts})


def test_while_sampling_every_user_message_has_the_instruction():
    assert contents(as_sampled(SCRIPT, ("a", "b"), "system", None)) == [
        f"system: {ASKED}",
        "user: one",
        "assistant: a",
        f"user: {ASKED}\n\ntwo",
        "assistant: b",
        f"user: {ASKED}\n\nthree",
    ]
    assert contents(as_sampled(SCRIPT, ("a",), "head", None)) == [
        f"user: {ASKED}\n\none",
        "assistant: a",
        f"user: {ASKED}\n\ntwo",
    ]


def test_the_first_turn_of_a_short_history_carries_the_instruction_in_its_slot():
    assert contents(as_sampled(SCRIPT, ("a", "b"), "system", 1)) == [
        f"system: {ASKED}",
        "user: two",
        "assistant: b",
        f"user: {ASKED}\n\nthree",
    ]
    assert contents(as_sampled(SCRIPT, ("a", "b"), "system", 0)) == [f"system: {ASKED}", "user: three"]


@pytest.mark.parametrize(
    ("slot", "first"), [("system", [f"system: {ASKED}", "user: one"]), ("head", [f"user: {ASKED}\n\none"])]
)
def test_in_what_is_learnt_from_the_first_turn_alone_has_the_instruction(slot, first):
    rest = ["assistant: a", "user: two", "assistant: b", "user: three"]
    assert contents(as_dialog(SCRIPT, ("a", "b"), slot)) == first + rest
    assert contents(as_dialog(SCRIPT, ("a", "b", "c"), slot)) == [*first, *rest, "assistant: c"]


texts = st.text(alphabet="abc", min_size=1, max_size=5)


@given(
    st.lists(texts, min_size=1, max_size=20), st.data(), st.sampled_from(["system", "head"]), st.none() | st.integers(0, 20)
)
def test_sampled_and_learnt_from_differ_in_nothing_but_the_instruction(turns, data, slot, history):
    """What the user says and what was replied stand in either, in order, without the instruction."""
    replies = tuple(data.draw(st.lists(texts, max_size=len(turns) - 1)))
    script = Script(tuple(turns), ASKED)
    sampled, learnt = as_sampled(script, replies, slot, history), as_dialog(script, replies, slot)

    def bare(dialog) -> list[Message]:
        kept = [message for message in dialog.messages if message.role != "system"]
        return [Message(message.role, message.content.removeprefix(f"{ASKED}\n\n")) for message in kept]

    for dialog in (sampled, learnt):
        assert problem_with_order([message.role for message in dialog.messages]) is None
    asked = [message for message in sampled.messages if message.role == "user"]
    carried = sum(message.content.startswith(ASKED) for message in sampled.messages)
    assert carried == len(asked)
    assert sum(ASKED in message.content for message in learnt.messages) == 1
    shown = bare(sampled)
    assert bare(learnt)[-len(shown) :] == shown
    assert len(asked) == min(len(replies), len(replies) if history is None else history) + 1


def test_real_dialogs_are_read(real_data: Path):
    """Alpaca's seeds, MT-bench's questions and HH's transcripts: every row that holds no tag and no empty turn."""
    for place, turns, rows in (("alpaca/seed_tasks.jsonl", {1}, 175), ("mt_bench/mt_bench/question.jsonl", {2}, 80)):
        found = list(read_scripts([real_data / place]))  # none of them is a bad row
        assert len(found) == rows, place
        assert {len(script.turns) for script in found} == turns, place
    hh = real_data / "hh_rlhf/harmless-base/test.jsonl.gz"
    with gzip.open(hh, "rt") as file:
        rows = [json.loads(line) for line in file]
    found = list(read_scripts([hh], on_bad_row="skip"))
    assert len(found) > 0.95 * len(rows)
    for script in found:
        row = rows[int(script.source.rpartition(":")[2]) - 1]
        roles = re.findall(r"\n\n(Human|Assistant):", row["chosen"])
        asked = sum(role == "Human" != before for before, role in pairwise([None, *roles]))  # a repeated role is one message
        assert len(script.turns) == asked, script.source
