"""Scripts: what a user says turn by turn, under an instruction that every reply is to keep; a model gives the replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from paddock.text.constraints import Constraint
from paddock.text.dialog import Dialog, Message
from paddock.text.files import Row, RowError
from paddock.text.rows import content_of, conversation_of

CONSTRAINT_FORM = 'Write each as {"kind": "figure", "value": "Napoleon"}'

Slot = Literal["system", "head"]
"""Where a dialog carries its instruction: in the system message, or at the head of the first user message."""


@dataclass(frozen=True, slots=True)
class Script:
    """The user's messages of a dialog, and what the instruction asks of every reply.

    `group` is a name under which figures are given. `cuts` are the turns, from 1, at which dialogs to learn from end.
    """

    turns: tuple[str, ...]
    instruction: str = ""
    constraints: tuple[Constraint, ...] = ()
    id: str | None = None
    group: str = ""
    cuts: tuple[int, ...] = ()
    source: str = field(default="", compare=False)  # "file:line", where it was read

    def to_row(self) -> dict[str, Any]:
        """The script as `script_of` reads it."""
        messages = [{"role": "system", "content": self.instruction}, {"role": "user", "content": self.turns[0]}]
        return {
            "id": self.id,
            "messages": messages,
            "later": list(self.turns[1:]),
            "constraints": [constraint.to_row() for constraint in self.constraints],
            "group": self.group,
            "cuts": list(self.cuts),
        }


def script_of(row: Row) -> Script:
    """The user's messages of a row of any dialog form, whatever was answered. Raises RowError.

    Turns after the dialog's are those of `later` (texts, or objects with `content`) and of MT-bench's `turns`. The system
    message is the instruction, and `constraints` say how to check it; without them it is checked by a judge.
    """
    dialog = conversation_of(row)
    turns = [message.content for message in dialog.messages if message.role == "user"]
    later = row.get("later", row.get("turns", [])[1:] if isinstance(row.get("turns"), list) else [])
    if not isinstance(later, list):
        raise RowError("wrong type", "a list of user messages was expected", field="later")
    turns += [content_of(turn.get("content") if isinstance(turn, dict) else turn, "later") for turn in later]
    asked = dialog.messages[0].content if dialog.messages[0].role == "system" else ""
    return Script(
        tuple(turns),
        asked,
        _constraints(row) or ((Constraint("other", asked),) if asked else ()),
        dialog.id,
        str(row.get("group", "")),
        _cuts(row, len(turns)),
    )


def _cuts(row: Row, turns: int) -> tuple[int, ...]:
    cuts = row.get("cuts", [])
    if not isinstance(cuts, list) or not all(type(cut) is int and 1 <= cut <= turns for cut in cuts):
        raise RowError("wrong cuts", f"a list of turns from 1 to {turns} was expected", field="cuts")
    return tuple(sorted(set(cuts)))


def _constraints(row: Row) -> tuple[Constraint, ...]:
    """Those of the row. Raises RowError for one that cannot be read, or that no reply could keep."""
    rows = row.get("constraints", [])
    if not isinstance(rows, list):
        raise RowError("no constraint", "a list of constraints was expected", field="constraints", mend=CONSTRAINT_FORM)
    found = []
    for place, constraint in enumerate(rows):
        try:
            found.append(Constraint.from_row(constraint))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"no constraint can be read ({error})"
            raise RowError("no constraint", problem, field=f"constraints[{place}]", mend=CONSTRAINT_FORM) from None
    return tuple(found)


def headed(asked: str, content: str) -> str:
    """A user message with an instruction at its head."""
    return f"{asked}\n\n{content}" if asked else content


def as_dialog(script: Script, replies: tuple[str, ...], slot: Slot) -> Dialog:
    """The dialog so far, with the instruction on its first turn alone: all `replies`, and the next user message if any.

    `replies` may be as many as the turns, or fewer.
    """
    messages = _alternate(script.turns, replies, lambda turn, content: content)
    return Dialog(tuple(_carried(script.instruction, messages, slot)), script.id)


def as_sampled(script: Script, replies: tuple[str, ...], slot: Slot, history: int | None) -> Dialog:
    """The prompt for the next reply, with the instruction joined to every user message (paper section 3.3).

    Of the turns before it `history` are shown, all where None. The first turn shown carries the instruction in its `slot`,
    later ones at the head of the message.
    """
    first = 0 if history is None else max(len(replies) - history, 0)
    messages = _alternate(
        script.turns[first:],
        replies[first:],
        lambda turn, content: headed(script.instruction, content) if turn else content,
    )
    return Dialog(tuple(_carried(script.instruction, messages, slot)), script.id)


def _alternate(turns: tuple[str, ...], replies: tuple[str, ...], word: Callable[[int, str], str]) -> list[Message]:
    """User messages and replies in turn, up to the message after the last reply; `word` gives turn n its words."""
    messages = []
    for turn, content in enumerate(turns[: len(replies) + 1]):
        messages.append(Message("user", word(turn, content)))
        if turn < len(replies):
            messages.append(Message("assistant", replies[turn]))
    return messages


def _carried(asked: str, messages: list[Message], slot: Slot) -> list[Message]:
    if not asked:
        return messages
    if slot == "system":
        return [Message("system", asked), *messages]
    return [Message("user", headed(asked, messages[0].content)), *messages[1:]]


def message_rows(dialog: Dialog) -> list[Mapping[str, str]]:
    """The dialog's messages as JSON has them."""
    return [{"role": message.role, "content": message.content} for message in dialog.messages]
