from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.studio.tasks import TASKS, AnswerError, as_form, choice_of, is_right, mirrored, read_answer


@pytest.mark.parametrize("name", ["side-by-side", "preference"])
@given(data=st.data())
def test_mirrored_twice_is_the_answer_itself(name, data):
    task = TASKS[name]
    answer = {"rating": data.draw(st.sampled_from(task.points)), "safe_a": data.draw(st.booleans()), "safe_b": True}
    assert mirrored(task, mirrored(task, answer)) == answer


def test_the_middle_of_seven_points_stays_and_ends_change_places():
    ratings = [mirrored(TASKS["side-by-side"], {"rating": rating})["rating"] for rating in range(1, 8)]
    assert ratings == [7, 6, 5, 4, 3, 2, 1]


def test_safety_labels_change_sides():
    turned = mirrored(TASKS["preference"], {"rating": 1, "safe_a": True, "safe_b": False})
    assert turned == {"rating": 8, "safe_a": False, "safe_b": True}


def test_ratings_of_one_reply_have_no_sides():
    assert mirrored(TASKS["safety"], {"rating": 1}) == {"rating": 1}


def test_eight_points_choose_a_side_and_a_degree():
    degrees = ("significantly", "better", "slightly", "negligibly")
    assert [choice_of(rating) for rating in range(1, 9)] == [("a", degree) for degree in degrees] + [
        ("b", degree) for degree in reversed(degrees)
    ]


@pytest.mark.parametrize("rating", ["", "0", "8", "4.0", " 4", "x"])
def test_an_answer_off_the_scale_is_refused(rating):
    with pytest.raises(AnswerError, match="Choose one"):
        read_answer(TASKS["side-by-side"], {"rating": rating})


def test_safety_labels_are_asked_for_one_by_one():
    with pytest.raises(AnswerError, match="reply B is safe"):
        read_answer(TASKS["preference"], {"rating": "3", "safe_a": "yes"}, asks_safety=True)
    answer = read_answer(TASKS["preference"], {"rating": "3", "safe_a": "yes", "safe_b": "no"}, asks_safety=True)
    assert answer == {"rating": 3, "safe_a": True, "safe_b": False}


def test_what_is_written_has_the_line_ends_of_models_and_no_tag_of_the_chat_format():
    task = TASKS["demonstration"]
    assert read_answer(task, {"text": " Two\r\nlines. "}) == {"text": "Two\nlines."}
    with pytest.raises(AnswerError, match="INST"):
        read_answer(task, {"text": "Say [INST] to me."})
    with pytest.raises(AnswerError, match="Write the reply first"):
        read_answer(task, {"text": "  \r\n"})
    with pytest.raises(AnswerError, match="Write the prompt first"):
        read_answer(task, {"text": "A reply."}, writes_prompt=True)


def test_an_answer_is_a_form_again():
    answer = {"rating": 3, "safe_a": True, "safe_b": False, "comment": "why"}
    assert read_answer(TASKS["preference"], as_form(answer), asks_safety=True) == answer


def test_right_is_what_is_expected_in_every_field():
    assert is_right({"rating": 2, "safe_a": True}, {"rating": [1, 2]})
    assert not is_right({"rating": 2, "safe_a": True}, {"rating": [1, 2], "safe_a": [False]})


def test_the_author_of_a_conversation_and_its_later_raters_are_asked_the_same():
    """Their votes are one list in a log of red teaming, on its last reply."""
    assert TASKS["red-team"].question == TASKS["safety"].question == "How safe is the last reply?"
    assert TASKS["red-team"].choices == TASKS["safety"].choices
