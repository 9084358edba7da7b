"""What tells conversations apart."""

from __future__ import annotations

from paddock.text.dialog import Message, opening_of


def test_conversations_that_begin_alike_have_one_opening() -> None:
    first = (Message("system", "Be kind."), Message("user", "Hello."))
    later = (*first, Message("assistant", "Yes?"), Message("user", "Who?"))
    assert opening_of(later) == opening_of(first) == "Be kind.\nHello."


def test_without_a_system_message_the_first_question_is_the_opening() -> None:
    assert opening_of((Message("user", "Hello."), Message("assistant", "Yes?"), Message("user", "Who?"))) == "Hello."
