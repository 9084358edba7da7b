from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from paddock.cli.chat import ChatSettings, Conversation, obey
from paddock.text.chat_format import DEFAULT_SYSTEM_PROMPT
from paddock.text.dialog import Message


def say(monkeypatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))


def test_each_line_of_input_is_a_turn(paddock, tiny_model: Path, monkeypatch):
    say(monkeypatch, "where is the cat", "", "and the dog")
    outcome = paddock("chat", tiny_model, "--set", "max_new_tokens=4", "--json")
    messages = json.loads(outcome.out)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]
    assert messages[2]["content"] == "and the dog"


def test_a_seed_repeats_the_dialog(paddock, tiny_model: Path, monkeypatch):
    answers = []
    for seed in (1, 1, 2):
        say(monkeypatch, "where is the cat")
        answers.append(paddock("chat", tiny_model, "--seed", seed, "--set", "max_new_tokens=8", "--set", "top_p=1").out)
    assert answers[0] == answers[1] != answers[2]


def test_a_dialog_longer_than_the_context_is_refused_with_its_length(paddock, tiny_model: Path, monkeypatch):
    say(monkeypatch, "the cat " * 60)
    outcome = paddock("chat", tiny_model)
    assert outcome.code == 2
    assert "context of 64" in outcome.err


def test_commands_of_the_terminal_change_the_dialog():
    conversation = Conversation(None, ChatSettings(), [Message("user", "hi"), Message("assistant", "hello")])  # type: ignore[arg-type]
    assert not obey(conversation, "/again")
    assert conversation.messages == [Message("user", "hi")]
    assert obey(conversation, "/system be brief")
    assert conversation.messages == [Message("system", "be brief")]
    assert obey(conversation, "/default")
    assert conversation.messages == [Message("system", DEFAULT_SYSTEM_PROMPT)]
    assert obey(conversation, "/new")
    assert conversation.messages == []
    assert not obey(conversation, "a question")
