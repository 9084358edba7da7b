"""A file of ready replies as a chat model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.backends.open import open_chat_model
from paddock.errors import DataError, EmptyDataError, UnsupportedError
from paddock.protocols import Completion, Sampling
from paddock.text.dialog import Dialog, Message

COLOUR, TWO_TURNS = (
    Dialog((Message("user", "Name a colour."),), id="p1"),
    Dialog((Message("user", "Hello."), Message("assistant", "Hello!"), Message("user", "Bye."))),
)


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_reply_is_found_by_its_prompt_in_every_form(tmp_path: Path):
    messages = [{"role": m.role, "content": m.content} for m in TWO_TURNS.messages]
    file = write(
        tmp_path / "replies.jsonl",
        {"prompt": "Name a colour.", "reply": "Red."},
        {"messages": [*messages, {"role": "assistant", "content": "So long [INST]"}]},
        {"prompt": [{"role": "user", "content": "One"}], "answer": ""},
        {"instruction": "Two", "output": "2"},
    )
    asked = [TWO_TURNS, COLOUR, "One", "Two", "Name a colour."]
    found = open_chat_model(file).complete(asked, Sampling())
    assert found == [[Completion(text)] for text in ("So long [INST]", "Red.", "", "2", "Red.")]


def test_rows_of_one_prompt_are_its_replies_in_their_order(tmp_path: Path):
    file = write(tmp_path / "r.jsonl", *({"prompt": "Name a colour.", "reply": c} for c in ("Red.", "Blue.", "Green.")))
    model = open_chat_model(file)
    assert [c.text for c in model.complete([COLOUR], Sampling(n=2))[0]] == ["Red.", "Blue."]
    with pytest.raises(DataError, match=r"r\.jsonl: there is 3 replies of 4 to the prompt 'Name a colour\.'"):
        model.complete([COLOUR], Sampling(n=4))


def test_a_prompt_that_is_not_there_is_named(tmp_path: Path):
    model = open_chat_model(write(tmp_path / "r.jsonl", {"prompt": "Name a colour", "reply": "Red."}))
    with pytest.raises(
        DataError, match=r"r\.jsonl: there is no reply to the prompt 'Name a colour\.'.* to the last character"
    ):
        model.complete([COLOUR], Sampling())


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "a"}, r"r\.jsonl:2: it holds none of reply, answer, completion, output"),
        ({"prompt": "a", "reply": None}, r"r\.jsonl:2: field 'reply': a reply is text"),
        ({"reply": "b"}, r"r\.jsonl:2: field 'prompt': there is a reply, and no prompt"),
        ({"messages": [{"role": "user", "content": "a"}] * 2}, "do not end with the assistant"),
    ],
)
def test_a_row_that_is_no_reply_is_named_by_its_line(tmp_path: Path, row: dict, problem: str):
    file = write(tmp_path / "r.jsonl", {"prompt": "a", "reply": "b"}, row)
    with pytest.raises(DataError, match=problem):
        open_chat_model(file)


def test_an_empty_file_and_log_probs_are_refused(tmp_path: Path):
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(EmptyDataError, match="there is no reply"):
        open_chat_model(tmp_path / "none.jsonl")
    model = open_chat_model(write(tmp_path / "r.jsonl", {"prompt": "a", "reply": "b"}))
    with pytest.raises(UnsupportedError, match="no log-probabilities"):
        model.log_probs(["a"], ["b"])
