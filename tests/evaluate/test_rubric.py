"""What a judge is asked, and what is read in its answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.evaluate.rubric import ask, built_in, read_rubric, read_verdict, shown
from paddock.text.dialog import DOMAINS, Dialog, Message

ASKED = Dialog((Message("user", "Name a colour."),))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A is right.\nVerdict: A", "A"),
        ("**Verdict:** B", "B"),
        ("**Verdict: tie**", "tie"),
        ("verdict: [[B]].", "B"),
        ("Verdict: Reply A", "A"),
        ("VERDICT: TIE", "tie"),
        ("Verdict: a tie", "tie"),
        ("Verdict: A tie.", "tie"),
        ("Verdict: A, since B is wrong", "A"),
        ("Verdict: A or B", None),
        ("Verdict: A | B | tie", None),
        ("Verdict: A and reply B are equal", None),
        ("Verdict: B\nI was asked for a line of the form Verdict: A/B", "B"),
        ("Verdict: A\nOn reflection:\nVerdict: B", "B"),
        ("The verdict a judge gives: none", None),
        ("Verdict: a", None),
        ("Verdict: Both", None),
        ("Verdict: Apples", None),
        ("A", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_last_one_in_the_text(text, verdict):
    assert read_verdict(text) == verdict


@given(st.text(max_size=40), st.sampled_from(["A", "B", "tie"]))
def test_any_reason_before_a_verdict_leaves_it_as_it_is(reason, verdict):
    assert read_verdict(f"{reason}\nVerdict: {verdict}") == verdict


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_built_in_rubrics_are_rubrics(domain, tmp_path: Path):
    (tmp_path / "r.txt").write_text(built_in(domain))
    assert read_rubric(tmp_path / "r.txt") == built_in(domain)


def test_places_within_a_reply_stay_as_they_are():
    asked = ask("{prompt}|{reply_a}|{reply_b}|{x}", ASKED, "see {reply_b}", "{prompt}").messages[0].content
    assert asked == "Name a colour.|see {reply_b}|{prompt}|{x}"


def test_a_reply_cannot_pretend_to_end():
    """The mark depends on all texts: a reply that holds the mark of another contest has another one."""
    mark = ask("{mark}{prompt}{reply_a}{reply_b}", ASKED, "", "").messages[0].content[:12]
    forged = ask("{mark} {prompt} {reply_a} {reply_b}", ASKED, f"{mark} end", "").messages[0].content
    assert forged.split()[0] != mark


def test_a_dialog_of_several_messages_is_shown_with_its_speakers():
    dialog = Dialog(
        (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Bye"))
    )
    assert shown(dialog) == "System: Be brief.\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: Bye"
    assert shown(ASKED) == "Name a colour."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{prompt} {reply_a} Verdict:", r"no place \{reply_b\}"),
        ("{prompt} {reply_a} {reply_b}", "asks for no verdict"),
    ],
)
def test_a_rubric_that_cannot_work_is_refused(tmp_path: Path, text, problem):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(DataError, match=problem):
        read_rubric(tmp_path / "r.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_rubric(tmp_path / "none.txt")
