"""What a row says, as a document, a dialog, a prompt or a preference. The forms of rows are told apart by their keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from paddock.errors import did_you_mean
from paddock.text.chat_format import tag_in
from paddock.text.dialog import (
    DOMAINS,
    LOSSES,
    PREFERENCE_RATINGS,
    Dialog,
    Message,
    Preference,
    Role,
    problem_with_order,
)
from paddock.text.files import Row, RowError, TieError

ROLE_NAMES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
DIALOG_KEYS = ("messages", "conversations", "prompt", "completion", "chosen", "rejected", "instruction", "turns")
TIES = (0, 1.5)  # as AlpacaEval writes a draw between reply 1 and reply 2
TRANSCRIPT_ROLE = re.compile(r"\n\n(Human|Assistant):")


def document_of(row: Row) -> str:
    """The text of `{"text": ...}`. Raises RowError, for a dialog too."""
    if "text" in row:
        return _text(row["text"], "text")
    if dialog_keys := [key for key in DIALOG_KEYS if key in row]:
        problem = f"this is a dialog ({', '.join(dialog_keys)}), and documents are read here"
        raise RowError("a dialog, not a document", problem, mend='A document is {"text": "..."}')
    raise _unknown_form(row, ["text"])


def dialog_of(row: Row) -> Dialog | None:
    """The finished dialog of any dialog form; of a preference, the chosen one. None for a reply with `"label": false`.

    Raises RowError, for a document too.
    """
    if row.get("label") is False:
        return None
    messages = _messages(row)
    _check_order(messages)
    if messages[-1].role == "user":
        raise RowError("no answer to learn from", "the dialog ends with the user", mend="Its last message must be an answer")
    return _dialog(messages, row)


def conversation_of(row: Row) -> Dialog:
    """The dialog of any dialog form as it stands, whether it ends with an answer or with the user. Raises RowError."""
    messages = _messages(row)
    _check_order(messages)
    return _dialog(messages, row)


def prompt_of(row: Row) -> Dialog:
    """The prompt of any dialog form: the dialog up to its last user message. Raises RowError."""
    messages = _messages(row)
    _check_order(messages)
    if messages[-1].role == "assistant":
        messages.pop()
    return _dialog(messages, row)


def preference_of(row: Row) -> Preference:
    """Two replies to one prompt. Raises RowError, and TieError where neither is better.

    Read are our own form and TRL's explicit one (`prompt`, `chosen`, `rejected`), TRL's implicit one (`chosen` and
    `rejected` are whole dialogs), HH's pair of transcripts, `conversations` with `chosen` and `rejected`, and AlpacaEval's
    annotations (`instruction`, `output_1`, `output_2`, `preference`).
    """
    if "output_1" in row and "output_2" in row:
        row = _chosen_and_rejected(row)
    if "chosen" not in row or "rejected" not in row:
        raise _unknown_form(row, ["prompt", "chosen", "rejected"])
    chosen, rejected = _with_reply(row, "chosen"), _with_reply(row, "rejected")
    if chosen[:-1] != rejected[:-1]:
        raise RowError(
            "different prompts",
            "chosen and rejected answer different prompts",
            mend="They may differ in the last message alone",
        )
    if chosen == rejected:
        raise RowError(
            "identical replies", "chosen and rejected are the same reply", mend="Leave the pair out: it says nothing"
        )
    for messages, field in ((chosen, "chosen"), (rejected, "rejected")):
        _check_order(messages)
        if messages[-1].role != "assistant":
            raise RowError("no answer to learn from", "the dialog ends with the user", field=field)
    return Preference(
        prompt=tuple(chosen[:-1]),
        chosen=chosen[-1].content,
        rejected=rejected[-1].content,
        rating=_one_of(row, "rating", PREFERENCE_RATINGS),
        domain=_one_of(row, "domain", DOMAINS),
        chosen_safe=_optional(row, "chosen_safe", bool),
        rejected_safe=_optional(row, "rejected_safe", bool),
        annotator=_optional(row, "annotator", str),
        chosen_model=_optional(row, "chosen_model", str),
        rejected_model=_optional(row, "rejected_model", str),
    )


def _chosen_and_rejected(row: Row) -> Row:
    """AlpacaEval's row (Li et al. 2023) in our own form: `preference` is 1 to 2, and its nearer end is the chosen output.

    The judges that weigh their answer give values between; 1.5, or 0, is a draw. AlpacaFarm's rows also have an `input`.
    Raises TieError for a draw, RowError for a value that is none of these.
    """
    preference = row.get("preference")
    if (
        isinstance(preference, bool)
        or not isinstance(preference, int | float)
        or not (1 <= preference <= 2 or preference == 0)
    ):
        problem = f"{preference!r} is not a preference"
        raise RowError("unknown value", problem, field="preference", mend="It is a number from 1 to 2, or 0 for a draw")
    if preference in TIES:
        raise TieError
    chosen, rejected = ("1", "2") if preference < 1.5 else ("2", "1")
    prompt = [{"role": message.role, "content": message.content} for message in _instruction(row)]
    sides = {"chosen": chosen, "rejected": rejected}
    replies = {side: content_of(row[f"output_{number}"], f"output_{number}") for side, number in sides.items()}
    models = {f"{side}_model": row.get(f"generator_{number}") for side, number in sides.items()}
    return {**row, "prompt": prompt, **replies, **models}


def parse_transcript(text: str, field: str = "transcript") -> list[Message]:
    """The messages of an HH transcript, "\\n\\nHuman: ...\\n\\nAssistant: ...".

    Turns of one role in a row are one message, joined by a blank line: the data set has replies that go on after a repeated
    role. Raises RowError for text before the first turn, and for an empty turn.
    """
    before, *parts = TRANSCRIPT_ROLE.split("\n\n" + text.lstrip())
    if before.strip() or not parts:
        raise RowError("not a transcript", "a transcript must begin with Human:", field=field)
    turns: list[tuple[Role, list[str]]] = []
    for name, content in zip(parts[::2], parts[1::2], strict=True):
        role: Role = "user" if name == "Human" else "assistant"
        if turns and turns[-1][0] == role:
            turns[-1][1].append(content.strip())
        else:
            turns.append((role, [content.strip()]))
    return [Message(role, content_of("\n\n".join(filter(None, contents)), field)) for role, contents in turns]


def _messages(row: Row) -> list[Message]:
    """The messages of a row of any dialog form, finished or not."""
    if "messages" in row:
        return _message_list(row["messages"], "messages")
    if "chosen" in row:
        return _with_reply(row, "chosen")
    if "conversations" in row:
        return _message_list(row["conversations"], "conversations")
    if "prompt" in row:
        prompt = _prompt_part(row["prompt"], "prompt")
        return prompt + (_reply_part(row["completion"], "completion") if "completion" in row else [])
    if "instruction" in row:
        return _instruction(row)
    if "turns" in row:  # MT-bench: user messages alone, and the first needs no answer before it
        turns = row["turns"]
        if not isinstance(turns, list) or not turns:
            raise RowError("wrong type", "a list of user messages was expected", field="turns")
        return [Message("user", content_of(turns[0], "turns[0]"))]
    raise _unknown_form(row, DIALOG_KEYS)


def _with_reply(row: Row, field: str) -> list[Message]:
    """The whole dialog that ends with the reply `field`, "chosen" or "rejected"."""
    reply = row[field]
    if "prompt" in row:
        return _prompt_part(row["prompt"], "prompt") + _reply_part(reply, field)
    if "conversations" in row:
        return _message_list(row["conversations"], "conversations") + _reply_part(reply, field)
    return parse_transcript(reply, field) if isinstance(reply, str) else _message_list(reply, field)


def _instruction(row: Row) -> list[Message]:
    """Alpaca's rows, and self-instruct's, whose first instance is read."""
    filled: Any = row
    where = ""
    if "instances" in row:
        instances = row["instances"]
        if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
            raise RowError("wrong type", "a list of objects was expected", field="instances")
        filled, where = instances[0], "instances[0]."
    question = content_of(row["instruction"], "instruction")
    if given := filled.get("input"):
        question += "\n\n" + content_of(given, f"{where}input")
    answer = [Message("assistant", content_of(filled["output"], f"{where}output"))] if "output" in filled else []
    return [Message("user", question), *answer]


def _prompt_part(value: Any, field: str) -> list[Message]:
    return [Message("user", content_of(value, field))] if isinstance(value, str) else _message_list(value, field)


def _reply_part(value: Any, field: str) -> list[Message]:
    if isinstance(value, str):
        return [Message("assistant", content_of(value, field))]
    return _message_list(value if isinstance(value, list) else [value], field)


def _message_list(value: Any, field: str) -> list[Message]:
    """Messages with `role` and `content`, or `from` and `value`. An empty system message is no message."""
    if not isinstance(value, list):
        raise RowError("wrong type", f"a list of messages was expected, found {_kind(value)}", field=field)
    messages = []
    for place, item in enumerate(value):
        where = f"{field}[{place}]"
        if not isinstance(item, dict):
            raise RowError("wrong type", f"a message was expected, found {_kind(item)}", field=where)
        role_key, content_key = ("from", "value") if "from" in item else ("role", "content")
        for key in (role_key, content_key):
            if key not in item:
                mend = did_you_mean(key, item).strip()
                raise RowError("missing key", f'a message needs "{key}"', field=where, mend=mend)
        role = ROLE_NAMES.get(item[role_key]) if isinstance(item[role_key], str) else None
        if role is None:
            raise _not_one_of(item[role_key], ROLE_NAMES, f"{where}.{role_key}")
        if not (role == "system" and item[content_key] == ""):
            messages.append(Message(role, content_of(item[content_key], f"{where}.{content_key}")))
    return messages


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise RowError("wrong type", f"a string was expected, found {_kind(value)}", field=field)
    if not value.strip():
        raise RowError("empty text", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(
            "a lone surrogate",
            f"a lone surrogate at character {error.start}",
            field=field,
            mend="It is no character: remove it",
        ) from None
    return value


def content_of(value: Any, field: str) -> str:
    """A message's text. Raises RowError where `value` is none, or holds a tag of the chat format."""
    text = _text(value, field)
    if tag := tag_in(text):
        raise RowError(
            "a tag of the chat format",
            f"it contains {tag}, a tag of the chat format",
            field=field,
            mend="Remove the tag, or leave the row out",
        )
    return text


def _check_order(messages: list[Message]) -> None:
    if problem := problem_with_order([message.role for message in messages]):
        mend = "Roles must go (system) user assistant user assistant ..."
        raise RowError("wrong order of roles", problem, mend=mend)


def _dialog(messages: list[Message], row: Row) -> Dialog:
    name = row.get("id")
    return Dialog(
        tuple(messages),
        None if name is None else str(name),
        _one_of(row, "domain", DOMAINS),
        _optional(row, "risk_category", str),
        _one_of(row, "loss", LOSSES) or "all",
    )


def _one_of(row: Row, field: str, known: tuple[Any, ...]) -> Any:
    value = row.get(field)
    if value is None or value in known:
        return value
    raise _not_one_of(value, known, field)


def _optional(row: Row, field: str, kind: type) -> Any:
    value = row.get(field)
    if value is not None and not isinstance(value, kind):
        raise RowError("wrong type", f"a {kind.__name__} was expected, found {_kind(value)}", field=field)
    return value


def _unknown_form(row: Row, wanted: Sequence[str]) -> RowError:
    if "text" in row and "text" not in wanted:
        problem = "this is a document (text), and dialogs are read here"
        return RowError("a document, not a dialog", problem, mend='A dialog is {"messages": [...]}')
    near = next((hint for key in row if (hint := did_you_mean(key, wanted))), "")
    problem = f"no known form of row has the keys {', '.join(row)}" if row else "the row is empty"
    return RowError("no known form", problem, mend=f"Known keys: {', '.join(wanted)}.{near}")


def _not_one_of(value: Any, known: Iterable[str], field: str) -> RowError:
    problem = f'"{value}" is not one of {", ".join(known)}'
    return RowError("unknown value", problem, field=field, mend=did_you_mean(str(value), known).strip())


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
