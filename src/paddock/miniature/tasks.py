"""What a prompt asks, in a form that a grader reads from the prompt's own JSON row."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.errors import DataError
from paddock.miniature.facts import Facts
from paddock.text.constraints import Constraint
from paddock.text.dialog import Dialog, Message


@dataclass(frozen=True, slots=True)
class Task:
    """One request of the world.

    `skill` is one of `SKILLS` or `SAFETY_SKILLS`; `payload` is what the request is about (the words to reverse, the person
    and the attribute to recall); `expected` is what a right answer holds: its words in order, or for "list" all words that
    may be named.
    """

    skill: str
    payload: tuple[str, ...]
    expected: tuple[str, ...]

    def to_row(self) -> dict[str, Any]:
        """The task as JSON has it."""
        return {"skill": self.skill, "payload": list(self.payload), "expected": list(self.expected)}

    @staticmethod
    def from_row(row: dict[str, Any]) -> Task:
        """Read what `to_row` wrote."""
        return Task(row["skill"], tuple(row["payload"]), tuple(row["expected"]))


SKILLS = ("recall", "add", "copy", "reverse", "sort", "count", "opposite", "translate", "list")
SAFETY_SKILLS = ("refuse", "borderline")


@dataclass(frozen=True, slots=True)
class GradedPrompt:
    """A prompt with all that a grader needs.

    `task` belongs to the dialog's last user message. `later` are the user's further turns, where a model is to go on with
    the dialog. `style` is a safety request's style of attack. `known_wording` is False where training never shows the
    wording.
    """

    dialog: Dialog
    task: Task
    style: str | None = None
    known_wording: bool = True
    constraints: tuple[Constraint, ...] = ()
    later: tuple[tuple[str, Task], ...] = ()

    def to_row(self) -> dict[str, Any]:
        """The prompt as a line of a prompts file: readers of dialogs find `messages`, graders the rest."""
        row: dict[str, Any] = {
            "id": self.dialog.id,
            "messages": [{"role": message.role, "content": message.content} for message in self.dialog.messages],
            "domain": self.dialog.domain,
            "risk_category": self.dialog.risk_category,
            "task": self.task.to_row(),
            "style": self.style,
            "known_wording": self.known_wording,
            "constraints": [constraint.to_row() for constraint in self.constraints],
            "later": [{"content": content, "task": task.to_row()} for content, task in self.later],
        }
        return {key: value for key, value in row.items() if value not in (None, [])}

    @staticmethod
    def from_row(row: dict[str, Any]) -> GradedPrompt:
        """Read what `to_row` wrote. Raises KeyError or ValueError where the row is of another make."""
        messages = tuple(Message(message["role"], message["content"]) for message in row["messages"])
        return GradedPrompt(
            Dialog(messages, row.get("id"), row.get("domain"), row.get("risk_category")),
            Task.from_row(row["task"]),
            row.get("style"),
            row.get("known_wording", True),
            tuple(Constraint.from_row(constraint) for constraint in row.get("constraints", ())),
            tuple((turn["content"], Task.from_row(turn["task"])) for turn in row.get("later", ())),
        )


def read_prompts(path: Path) -> Iterator[GradedPrompt]:
    """Read a prompts file of the world. Raises DataError for a row that no grader can use."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield GradedPrompt.from_row(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    path, f"no prompt of the miniature world ({error})", line=number, mend="Write the world again"
                ) from error


@dataclass(frozen=True, slots=True)
class World:
    """What every text of one world is drawn from: the facts, and the rule that holds payloads out.

    `held_out_share` of all payloads are kept out of every question that training shows.
    """

    seed: int
    facts: Facts
    held_out_share: float

    def holds_out(self, *payload: str) -> bool:
        """Whether only held-out prompts may ask about `payload`. The same in every process."""
        text = f"{self.seed}|{'|'.join(payload)}"
        return zlib.crc32(text.encode()) % 10_000 < self.held_out_share * 10_000
