"""The items of a study from its files: what people are shown, and what is known to be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from paddock.errors import DataError
from paddock.safety.red_team import votes_of
from paddock.studio.study import StudySettings
from paddock.studio.tasks import SAFE_SIDES, TASKS, Task
from paddock.text.dialog import Dialog
from paddock.text.files import Row, RowError, read_rows
from paddock.text.rows import content_of, conversation_of, prompt_of

ItemKind = Literal["item", "qualification", "attention"]

REPLY_KEYS = ("reply", "answer")
SHOWN_KEYS = ("brief", "language")
CARRIED = ("session", "person", "start", "end", "model", "attack_style")  # of a red-team log, through to the exports


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to answer. `content` has messages, replies (each with text and model) and what is known about them.

    Where people begin a conversation themselves there are no messages, and where models reply live no replies yet.
    """

    name: str
    kind: ItemKind
    task: Task
    content: dict[str, Any]
    expected: dict[str, list[Any]] | None = None


def items_of(study: StudySettings) -> list[Item]:
    """Every item, the test's first. Raises DataError with file, line and mend for a row that cannot be shown."""
    parts: list[tuple[ItemKind, str, Task]] = []
    if test := study.qualification:
        parts.append(("qualification", test.data, TASKS[test.task or study.task]))
    if checks := study.attention:
        parts.append(("attention", checks.data, TASKS[checks.task or study.task]))
    if study.data:
        parts.append(("item", study.data, study.kind))
    found = [item for kind, file, task in parts for item in _read(file, kind, task, study)]
    for session in range(1, (study.sessions or 0) + 1):
        content: dict[str, Any] = {"messages": [], **({"domain": study.domain} if study.domain else {})}
        found.append(Item(f"session-{session}", "item", study.kind, content))
    return found


def _read(file: str, kind: ItemKind, task: Task, study: StudySettings) -> Iterator[Item]:
    lines: dict[str, int] = {}
    for line, row in read_rows(file):
        try:
            if isinstance(row, RowError):
                raise row
            name = str(line if row.get("id") in (None, "") else row["id"])
            if name in lines:
                raise RowError(
                    "an id twice", f"line {lines[name]} has it too", field="id", mend="Items need names of their own"
                )
            lines[name] = line
            content = _content_of(row, task, study, is_live=kind == "item" and bool(study.models))
            expected = None if kind == "item" else expected_of(row, task)
        except RowError as error:
            raise DataError(file, error.problem, line=line, field=error.field, mend=error.mend) from None
        yield Item(name if kind == "item" else f"{kind}: {name}", kind, task, content, expected)
    if not lines:
        raise DataError(file, "there is no item")


def _content_of(row: Row, task: Task, study: StudySettings, is_live: bool) -> dict[str, Any]:
    """What is shown of a row, and what the exports say about it. Raises RowError."""
    begins_empty = task.name == "red-team" or ("brief" in row and (task.name == "demonstration" or is_live))
    dialog = None if begins_empty else _dialog_of(row, task)
    content: dict[str, Any] = {"messages": [asdict(message) for message in dialog.messages] if dialog else []}
    if task.is_pair and not is_live:
        check = content_of if task.name == "preference" else _reply_text
        content["replies"] = [
            {
                "text": check(_needed(row, f"reply_{side}"), f"reply_{side}"),
                "model": _name(row, f"model_{side}", side.upper()),
            }
            for side in "ab"
        ]
    elif task.name in ("helpfulness", "safety"):
        key = next((key for key in REPLY_KEYS if key in row), None)
        text = _reply_text(row[key], key) if key else content["messages"].pop()["content"]
        content["replies"] = [{"text": text, "model": _name(row, "model", "model")}]
    for key in (*SHOWN_KEYS, "risk_category", *CARRIED):
        if row.get(key) is not None:
            content[key] = row[key]
    if row.get("votes") is not None:
        content["votes"] = [{"rater": rater, "rating": vote} for rater, vote in votes_of(row["votes"])]
    if domain := (dialog.domain if dialog else None) or study.domain:
        content["domain"] = domain
    return content


def _dialog_of(row: Row, task: Task) -> Dialog:
    if task.name in ("helpfulness", "safety") and not any(key in row for key in REPLY_KEYS):
        dialog = conversation_of(row)
        if dialog.is_prompt:
            raise RowError(
                "no reply", "the dialog ends with the user", mend="Give the reply to rate in `reply`, or as the last message"
            )
        return dialog
    return prompt_of(row)


def _needed(row: Row, key: str) -> Any:
    if key not in row:
        raise RowError("missing key", f'there is no "{key}"', mend="A pair needs a prompt, reply_a and reply_b")
    return row[key]


def _reply_text(value: Any, field: str) -> str:
    """A reply to look at, which may be empty. Raises RowError."""
    if not isinstance(value, str):
        raise RowError("wrong type", f"a string was expected, found {type(value).__name__}", field=field)
    return value.encode(errors="replace").decode()


def _name(row: Row, key: str, default: str) -> str:
    return str(row[key]) if row.get(key) is not None else default


def expected_of(row: Mapping[str, Any], task: Task) -> dict[str, list[Any]]:
    """The right answers by field: `expected` is a rating, a list of them, or an object of fields. Raises RowError."""
    value = row.get("expected")
    if value is None:
        raise RowError("missing key", 'there is no "expected"', mend="Give the right answer, or a list of right answers")
    fields = value if isinstance(value, dict) else {"rating": value}
    known: dict[str, list[Any]] = {
        "rating": list(task.points),
        **({side: [True, False] for side in SAFE_SIDES} if task.name == "preference" else {}),
    }
    expected = {field: allowed if isinstance(allowed, list) else [allowed] for field, allowed in fields.items()}
    for field, allowed in expected.items():
        if wrong := [answer for answer in allowed if answer not in known.get(field, [])]:
            possible = ", ".join(map(str, known.get(field, []))) or "no such field"
            raise RowError(
                "unknown value",
                f"{wrong[0]!r} cannot be answered",
                field=f"expected.{field}",
                mend=f"It is one of: {possible}",
            )
    return expected
