"""Dialogs held turn by turn, and the share that still keeps the instruction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.evaluate.consistency import LAST, Course, figures, follow
from paddock.evaluate.obedience import Obedience
from paddock.protocols import Completion, Sampling
from paddock.statistics import wilson_interval
from paddock.text.constraints import Constraint
from paddock.text.scripts import Script

RULES = Obedience(lambda text, language: False)
GREEDY = Sampling(temperature=0, max_new_tokens=4)


def script(turns: int, name: str = "Napoleon", group: str = "") -> Script:
    return Script(tuple(f"u{n}" for n in range(turns)), f"Figure: {name}.", (Constraint("figure", name),), name, group)


class Forgetful:
    """Names who it is to be in its first `turns` replies; the prompts that it saw are kept."""

    def __init__(self, turns: int, context: int = 99) -> None:
        self.turns, self.context, self.calls = turns, context, []

    def complete(self, prompts, sampling):
        self.calls.append(prompts)
        return [[self.reply(prompt)] for prompt in prompts]

    def reply(self, prompt) -> Completion:
        answered = sum(message.role == "assistant" for message in prompt.messages)
        if answered >= self.context:
            return Completion("", finish_reason="error", error="no room in the context")
        name = prompt.messages[0].content.removeprefix("Figure: ")
        return Completion(f"{name} {answered}" if answered < self.turns else f"no one {answered}", (1, 2))


def test_a_model_that_forgets_after_two_turns_is_found_out():
    (course,) = follow(Forgetful(2), [script(4)], RULES, GREEDY)
    assert course.kept == (True, True, False, False)
    assert course.ended is None


def test_the_history_is_the_models_own_and_the_first_turn_alone_is_instructed():
    model = Forgetful(2)
    follow(model, [script(3)], RULES, GREEDY)
    last = model.calls[-1][0].messages
    assert [message.content for message in last] == ["Figure: Napoleon.", "u0", "Napoleon. 0", "u1", "Napoleon. 1", "u2"]


def test_all_dialogs_advance_together_and_short_ones_leave():
    model = Forgetful(9)
    courses = follow(model, [script(1), script(3), script(2)], RULES, GREEDY)
    assert [len(prompts) for prompts in model.calls] == [3, 2, 1]
    assert [len(course.replies) for course in courses] == [1, 3, 2]


def test_a_dialog_ends_where_the_context_is_full():
    (course,) = follow(Forgetful(9, context=2), [script(5)], RULES, GREEDY)
    assert (len(course.replies), course.ended) == (2, "context")


@pytest.mark.parametrize(
    ("completion", "ended", "replies"),
    [
        (Completion("Napo", (1, 2, 3), finish_reason="length"), "context", 0),  # fewer than asked for: the context cut it
        (Completion("Napo", (1, 2, 3, 4), finish_reason="length"), None, 2),
        (Completion("Napo", None, finish_reason="length"), None, 2),
        (Completion("", finish_reason="error", error="timed out"), "failed", 0),
        (Completion("Napoleon [INST]", (1,)), "tag", 1),
    ],
)
def test_why_a_dialog_ends(completion: Completion, ended: str | None, replies: int):
    class Always:
        def complete(self, prompts, sampling):
            return [[completion] for _ in prompts]

    (course,) = follow(Always(), [script(2)], RULES, GREEDY)
    assert (course.ended, len(course.replies)) == (ended, replies)


def row_of(rows: list[dict], **wanted) -> dict:
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_shares_by_turn_are_of_the_dialogs_that_got_there():
    courses = [
        Course(script(3), ("a", "b", "c"), (True, True, False), None),
        Course(script(3), ("a", "b"), (True, False), "context"),
        Course(script(3), ("a", "b"), (True, True), "context"),
    ]
    rows = figures(courses)
    assert row_of(rows, turn=2, kind="all") == {
        "group": "",
        "kind": "all",
        "turn": 2,
        "undecided": 0,
        **wilson_interval(2, 3).as_row(),
    }
    assert row_of(rows, turn=3, kind="all")["n"] == 1
    assert (row_of(rows, turn=LAST, kind="all")["estimate"], row_of(rows, turn=LAST, kind="all")["n"]) == (0.5, 2)


def test_groups_and_kinds_stand_apart():
    both = Script(("u",), "x", (Constraint("hobby", "x"), Constraint("figure", "y")), group="new")
    rows = figures([Course(script(1, group="known"), ("a",), (True,), None), Course(both, ("b",), (False,), None)])
    assert {(row["group"], row["kind"]): row["estimate"] for row in rows} == {
        ("known", "all"): 1.0,
        ("known", "figure"): 1.0,
        ("new", "all"): 0.0,
        ("new", "hobby + figure"): 0.0,
    }


def test_undecided_replies_are_counted_and_not_in_the_share():
    rows = figures([Course(script(1), ("a",), (verdict,), None) for verdict in (True, None, None, False)])
    found = row_of(rows, turn=1, kind="all")
    assert (found["estimate"], found["n"], found["undecided"]) == (0.5, 2, 2)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(1, 6))
def test_every_reply_is_in_one_row_of_all_kinds(kept_turns: list[int], turns: int):
    courses = [course for kept in kept_turns for course in follow(Forgetful(kept), [script(turns)], RULES, GREEDY)]
    rows = [row for row in figures(courses) if row["kind"] == "all"]
    assert sum(row["n"] for row in rows) == turns * len(kept_turns)
    assert sum(round(row["estimate"] * row["n"]) for row in rows) == sum(min(kept, turns) for kept in kept_turns)
