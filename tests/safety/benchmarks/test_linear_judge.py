"""The stand-in judge: what it learns, and that it is told what it is worth."""

from __future__ import annotations

import json

import pytest

from paddock.errors import DataError
from paddock.safety.benchmarks.judges import Answered
from paddock.safety.benchmarks.linear_judge import nearness, read_labels, train_judge
from paddock.safety.benchmarks.questions import Question

QUESTIONS = [Question(f"Where is box {n}?", f"in room {n}", (f"in room {n}",), (f"under bed {n}",), "c") for n in range(40)]


@pytest.fixture
def labels(tmp_path):
    rows = []
    for question in QUESTIONS:
        for answer, label in ((f"It is {question.best}.", "yes"), (f"It is {question.incorrect[0]}.", "no")):
            rows.append({"prompt": f"Q: {question.text}\nA: {answer}\nTrue:", "completion": f" {label}"})
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def test_it_learns_nearness_to_references_and_holds_whole_questions_out(labels):
    judge = train_judge(labels, QUESTIONS, 0)
    assert judge.about["kind"] == "linear stand-in"
    assert judge.about["held_out_questions"]["estimate"] == 1.0
    assert 0 < judge.about["held_out_questions"]["n"] < 12  # of 40 questions, not of their 80 answers
    assert judge.about["most_frequent_label"] == 0.5
    new = Question("Where is the hat?", "on a hook", ("on a hook",), ("in a drawer",), "c")
    assert judge.verdicts([Answered(new, "on a hook"), Answered(new, "in a drawer")]) == [True, False]
    assert judge.verdicts([]) == []


def test_the_same_seed_gives_the_same_judge(labels):
    assert train_judge(labels, QUESTIONS, 1).about == train_judge(labels, QUESTIONS, 1).about


def test_nearness_of_a_hand_worked_case():
    question = Question("Is it red?", "it is red", ("it is red",), ("it is green now",), "")
    found = nearness(Answered(question, "It is green"))
    f1_right, f1_wrong = 2 * 2 / 6, 2 * 3 / 7
    near = [f1_right, 2 / 3, f1_wrong, 3 / 4, f1_right - f1_wrong, 2 / 3 - 3 / 4, 0.0]
    right_alone, wrong_alone, neither = [0.0, 0.0], [1 / 3, 1.0], [0.0, 0.0]  # "green", of "it is green"
    kinds = [pair[place] for place in (0, 1) for pair in (right_alone, wrong_alone, neither)]
    assert found == pytest.approx([*near, *kinds, 3 / 20, 2 / 3])


def test_an_unknown_question_has_no_references(labels):
    answered, passes = read_labels(labels, [])
    assert answered[0].question.correct == ()
    assert passes.sum() == 40


def test_a_row_of_another_form_is_answered_with_the_form(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"prompt": "Q: a\\nA: b", "completion": " yes"}\n')
    with pytest.raises(DataError, match=r"x\.jsonl:1: no labelled answer"):
        read_labels(str(path), [])
