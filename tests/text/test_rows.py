"""Every form of row, and what is wrong with a row that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from paddock.text.chat_format import TAGS
from paddock.text.dialog import Dialog, Message, Preference
from paddock.text.files import RowError, TieError
from paddock.text.rows import conversation_of, dialog_of, document_of, parse_transcript, preference_of, prompt_of

USER, SYSTEM, ASSISTANT = ({"role": role, "content": role[0]} for role in ("user", "system", "assistant"))
HI = Dialog((Message("user", "hi"), Message("assistant", "hello")))
LONG = Dialog((*HI.messages, Message("user", "more"), Message("assistant", "no")))

DIALOG_FORMS: dict[str, tuple[dict[str, Any], Dialog]] = {
    "conversational": (
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
        HI,
    ),
    "prompt and completion": ({"prompt": "hi", "completion": "hello"}, HI),
    "prompt and completion of messages": (
        {"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "hello"}]},
        HI,
    ),
    "Alpaca": ({"instruction": "hi", "input": "", "output": "hello"}, HI),
    "Alpaca with an input": (
        {"instruction": "add", "input": "1, 2", "output": "3"},
        Dialog((Message("user", "add\n\n1, 2"), Message("assistant", "3"))),
    ),
    "self-instruct": (
        {"id": "t0", "instruction": "add", "instances": [{"input": "1, 2", "output": "3"}]},
        Dialog((Message("user", "add\n\n1, 2"), Message("assistant", "3")), id="t0"),
    ),
    "ShareGPT": (
        {
            "conversations": [
                {"from": "system", "value": "s"},
                {"from": "human", "value": "hi"},
                {"from": "gpt", "value": "hello"},
            ]
        },
        Dialog((Message("system", "s"), *HI.messages)),
    ),
    "ShareGPT with the usual role names": (
        {"conversations": [{"from": "user", "value": "hi"}, {"from": "assistant", "value": "hello"}]},
        HI,
    ),
    "HH": (
        {
            "chosen": "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: more\n\nAssistant: no",
            "rejected": "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: more\n\nAssistant: yes",
        },
        LONG,
    ),
    "LLaMA-Factory preference": (
        {
            "conversations": [{"from": "human", "value": "hi"}],
            "chosen": {"from": "gpt", "value": "hello"},
            "rejected": {"from": "gpt", "value": "bye"},
        },
        HI,
    ),
    "own preference": (
        {"prompt": [{"role": "user", "content": "hi"}], "chosen": "hello", "rejected": "bye", "domain": "safety"},
        Dialog(HI.messages, domain="safety"),
    ),
    "implicit preference": (
        {
            "chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
            "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "bye"}],
        },
        HI,
    ),
    "KTO, a good reply": (
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "label": True},
        HI,
    ),
}


@pytest.mark.parametrize("name", DIALOG_FORMS)
def test_a_dialog_is_read_from_each_form(name: str):
    row, dialog = DIALOG_FORMS[name]
    assert dialog_of(row) == dialog
    assert conversation_of(row) == dialog


@pytest.mark.parametrize("name", DIALOG_FORMS)
def test_the_prompt_of_a_dialog_ends_with_its_last_user_message(name: str):
    row, dialog = DIALOG_FORMS[name]
    assert prompt_of(row) == Dialog(dialog.messages[:-1], dialog.id, dialog.domain)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "hi"}]},
        {"prompt": "hi"},
        {"prompt": [{"role": "user", "content": "hi"}]},
        {"instruction": "hi"},
        {"turns": ["hi", "and now rewrite it"]},
    ],
)
def test_a_prompt_without_an_answer_is_read_from_each_form(row: dict[str, Any]):
    assert prompt_of(row) == Dialog((Message("user", "hi"),))
    with pytest.raises(RowError, match="no answer to learn from"):
        dialog_of(row)


@pytest.mark.parametrize("messages", [[], [ASSISTANT], [USER, ASSISTANT, ASSISTANT]])
def test_a_prompt_is_not_read_from_a_dialog_in_disorder(messages: list[dict[str, str]]):
    with pytest.raises(RowError, match="wrong order of roles"):
        prompt_of({"messages": messages})


def test_metadata_of_a_prompt_is_kept():
    row = {"prompt": "hi", "id": 17, "domain": "safety", "risk_category": "unqualified advice"}
    assert prompt_of(row) == Dialog((Message("user", "hi"),), "17", "safety", "unqualified advice")


@pytest.mark.parametrize("loss", ["all", "last"])
def test_a_dialog_says_which_answers_are_learnt_from(loss: str):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert dialog_of({"messages": messages, "loss": loss}).loss == loss
    assert dialog_of({"messages": messages}).loss == "all"


def test_another_loss_is_refused_by_name():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    with pytest.raises(RowError, match='"first" is not one of all, last'):
        dialog_of({"messages": messages, "loss": "first"})


def test_a_reply_labelled_as_bad_is_no_dialog_but_has_a_prompt():
    row = {"messages": [USER, ASSISTANT], "label": False}
    assert dialog_of(row) is None
    assert prompt_of(row) == Dialog((Message("user", "u"),))


def test_an_empty_system_message_is_no_message():
    dialog = dialog_of({"messages": [{"role": "system", "content": ""}, USER, ASSISTANT]})
    assert dialog == Dialog((Message("user", "u"), Message("assistant", "a")))


def test_a_document_is_read_with_its_white_space():
    assert document_of({"text": " a\n", "url": "x"}) == " a\n"


# --- HH transcripts ---


def test_a_transcript_keeps_blank_lines_within_a_turn():
    text = "\n\nHuman: list\n\nplease\n\nAssistant: 1. a\n\n2. b"
    assert parse_transcript(text) == [Message("user", "list\n\nplease"), Message("assistant", "1. a\n\n2. b")]


def test_turns_of_one_role_in_a_row_are_joined():
    text = "\n\nHuman: hi\n\nAssistant: one\n\nAssistant: two\n\nHuman:\n\nHuman: more\n\nAssistant: no"
    assert parse_transcript(text) == [
        Message("user", "hi"),
        Message("assistant", "one\n\ntwo"),
        Message("user", "more"),
        Message("assistant", "no"),
    ]


def test_a_role_name_within_a_line_begins_no_turn():
    assert (
        parse_transcript("Human: say Human: and\nAssistant: x\n\nAssistant: ok")[0].content == "say Human: and\nAssistant: x"
    )


def test_an_empty_turn_of_a_transcript_is_bad():
    with pytest.raises(RowError, match="empty text"):
        parse_transcript("\n\nHuman: hi\n\nAssistant: ")


@pytest.mark.parametrize("text", ["hi", "note\n\nHuman: hi", ""])
def test_text_that_is_no_transcript_is_bad(text: str):
    with pytest.raises(RowError, match="not a transcript"):
        parse_transcript(text)


# --- preferences ---

PAIR = Preference((Message("user", "hi"),), "hello", "bye")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "chosen": "hello", "rejected": "bye"},
        {"prompt": [{"role": "user", "content": "hi"}], "chosen": "hello", "rejected": "bye"},
        {
            "prompt": [{"role": "user", "content": "hi"}],
            "chosen": [{"role": "assistant", "content": "hello"}],
            "rejected": [{"role": "assistant", "content": "bye"}],
        },
        {
            "chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
            "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "bye"}],
        },
        {"chosen": "\n\nHuman: hi\n\nAssistant: hello", "rejected": "\n\nHuman: hi\n\nAssistant: bye"},
        {
            "conversations": [{"from": "human", "value": "hi"}],
            "chosen": {"from": "gpt", "value": "hello"},
            "rejected": {"from": "gpt", "value": "bye"},
        },
    ],
)
def test_a_preference_is_read_from_each_form(row: dict[str, Any]):
    assert preference_of(row) == PAIR


ANNOTATION = {
    "instruction": "hi",
    "output_1": "hello",
    "generator_1": "davinci",
    "output_2": "bye",
    "generator_2": "vicuna",
    "annotator": "gpt4",
}


@pytest.mark.parametrize(
    ("preference", "first_is_chosen"), [(1, True), (1.0, True), (1.49, True), (1.51, False), (2, False), (2.0, False)]
)
def test_alpaca_evals_nearer_output_is_the_chosen_one(preference: float, first_is_chosen: bool):
    ends = [("hello", "davinci"), ("bye", "vicuna")]
    (chosen, chosen_model), (rejected, rejected_model) = ends if first_is_chosen else ends[::-1]
    assert preference_of({**ANNOTATION, "preference": preference}) == Preference(
        PAIR.prompt, chosen, rejected, annotator="gpt4", chosen_model=chosen_model, rejected_model=rejected_model
    )


def test_alpaca_farms_input_follows_the_instruction_and_models_may_be_unknown():
    row = {"instruction": "add", "input": "1, 2", "output_1": "3", "output_2": "4", "preference": 1}
    assert preference_of(row) == Preference((Message("user", "add\n\n1, 2"),), "3", "4")
    assert prompt_of(row) == Dialog((Message("user", "add\n\n1, 2"),))


@pytest.mark.parametrize("preference", [0, 0.0, 1.5])
def test_a_draw_of_alpaca_eval_is_a_tie(preference: float):
    with pytest.raises(TieError):
        preference_of({**ANNOTATION, "preference": preference})


@pytest.mark.parametrize("preference", [None, "1", True, 3, 0.5, float("nan")])
def test_a_preference_that_is_no_number_from_1_to_2_is_refused(preference: Any):
    with pytest.raises(RowError, match="unknown value") as caught:
        preference_of({**ANNOTATION, "preference": preference})
    assert caught.value.field == "preference"


def test_an_empty_output_of_alpaca_eval_is_named_by_its_key():
    with pytest.raises(RowError, match="empty text") as caught:
        preference_of({**ANNOTATION, "output_2": "", "preference": 1})
    assert caught.value.field == "output_2"


def test_every_field_of_a_preference_is_read():
    extras = {
        "rating": "slightly",
        "domain": "safety",
        "chosen_safe": True,
        "rejected_safe": False,
        "annotator": "a7",
        "chosen_model": "V2",
        "rejected_model": "V1",
    }
    preference = preference_of({"prompt": "hi", "chosen": "hello", "rejected": "bye", **extras})
    assert preference == Preference(PAIR.prompt, "hello", "bye", **extras)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "hi", "chosen": "hello"}, "no known form"),
        ({"prompt": "hi", "chosen": "a", "rejected": "b", "rating": "slighty"}, 'Did you mean "slightly"?'),
        ({"prompt": "hi", "chosen": "a", "rejected": "b", "chosen_safe": "yes"}, "a bool was expected, found a string"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: x", "rejected": "\n\nHuman: b\n\nAssistant: y"}, "answer different prompts"),
        ({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"}, "ends with the user"),
        ({"prompt": "hi", "chosen": "hello", "rejected": " "}, "empty text"),
    ],
)
def test_what_is_wrong_with_a_preference_is_said(row: dict[str, Any], message: str):
    with pytest.raises(RowError) as caught:
        preference_of(row)
    assert message in f"{caught.value.problem}. {caught.value.mend}"


# --- bad rows ---


def bad(**row: Any) -> RowError:
    with pytest.raises(RowError) as caught:
        dialog_of(row)
    return caught.value


def test_a_misspelled_key_is_answered_with_the_near_one():
    error = bad(mesages=[USER, ASSISTANT], id=3)
    assert error.problem == "no known form of row has the keys mesages, id"
    assert str(error.mend).endswith('Did you mean "messages"?')


def test_a_misspelled_role_is_answered_with_the_near_one():
    error = bad(messages=[{"role": "asistant", "content": "x"}])
    assert (error.field, error.mend) == ("messages[0].role", 'Did you mean "assistant"?')


def test_a_misspelled_content_key_is_answered_with_the_near_one():
    error = bad(messages=[USER, {"role": "assistant", "contents": "x"}])
    assert (error.problem, error.field) == ('a message needs "content"', "messages[1]")


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ({"messages": "hi"}, "messages", "a list of messages was expected, found a string"),
        ({"messages": ["hi"]}, "messages[0]", "a message was expected, found a string"),
        (
            {"messages": [USER, {"role": "assistant", "content": 3}]},
            "messages[1].content",
            "a string was expected, found a number",
        ),
        (
            {"messages": [{"role": 1, "content": "x"}]},
            "messages[0].role",
            '"1" is not one of system, user, human, assistant, gpt',
        ),
        ({"messages": [USER, {"role": "assistant", "content": " \n"}]}, "messages[1].content", "empty text"),
        (
            {"messages": [USER, {"role": "assistant", "content": None}]},
            "messages[1].content",
            "a string was expected, found null",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "a\ud800"}]},
            "messages[1].content",
            "a lone surrogate at character 1",
        ),
        ({"messages": []}, None, "there is no user message"),
        ({"messages": [SYSTEM]}, None, "there is no user message"),
        ({"messages": [USER, USER]}, None, "message 2 is from 'user' where 'assistant' was expected"),
        ({"messages": [SYSTEM, ASSISTANT]}, None, "message 2 is from 'assistant' where 'user' was expected"),
        ({"messages": [USER]}, None, "the dialog ends with the user"),
        ({"messages": [USER, ASSISTANT], "domain": "safty"}, "domain", '"safty" is not one of helpfulness, safety'),
        ({"messages": [USER, ASSISTANT], "risk_category": 3}, "risk_category", "a str was expected, found a number"),
        ({"instruction": "x", "output": ""}, "output", "empty text"),
        ({"instruction": "x", "instances": []}, "instances", "a list of objects was expected"),
        ({"prompt": "x", "completion": {"a": 1}}, "completion[0]", 'a message needs "role"'),
        ({"turns": "x"}, "turns", "a list of user messages was expected"),
        ({}, None, "the row is empty"),
    ],
)
def test_what_is_wrong_with_a_dialog_is_said(row: dict[str, Any], field: str | None, problem: str):
    error = bad(**row)
    assert (error.field, error.problem) == (field, problem)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"messages": [USER, {"role": "assistant", "content": "a TAG"}]}, "messages[1].content"),
        ({"messages": [{"role": "system", "content": "TAG"}, USER, ASSISTANT]}, "messages[0].content"),
        ({"instruction": "x", "input": "TAG", "output": "y"}, "input"),
        ({"chosen": "\n\nHuman: x TAG\n\nAssistant: y", "rejected": ""}, "chosen"),
    ],
)
def test_a_tag_of_the_chat_format_is_refused_by_field(tag: str, row: dict[str, Any], field: str):
    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(inner) for key, inner in value.items()}
        return [put(inner) for inner in value] if isinstance(value, list) else str(value).replace("TAG", tag)

    error = bad(**put(row))
    assert (error.field, error.problem) == (field, f"it contains {tag}, a tag of the chat format")


def test_tags_are_no_fault_of_a_document():
    assert document_of({"text": "[INST] is a tag"}) == "[INST] is a tag"


def test_a_dialog_read_as_a_document_says_so():
    with pytest.raises(RowError) as caught:
        document_of({"messages": [USER, ASSISTANT]})
    assert caught.value.problem == "this is a dialog (messages), and documents are read here"


def test_a_document_read_as_a_dialog_says_so():
    assert bad(text="x").problem == "this is a document (text), and dialogs are read here"


@pytest.mark.parametrize(("text", "problem"), [(3, "a string was expected, found a number"), ("\n ", "empty text")])
def test_what_is_wrong_with_a_document_is_said(text: Any, problem: str):
    with pytest.raises(RowError) as caught:
        document_of({"text": text})
    assert (caught.value.field, caught.value.problem) == ("text", problem)
