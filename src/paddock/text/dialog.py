"""The few types that every stage speaks: Message, Dialog, Preference, Rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Domain = Literal["helpfulness", "safety"]
Loss = Literal["all", "last"]
PreferenceRating = Literal["significantly", "better", "slightly", "negligibly"]

ROLES: tuple[Role, ...] = ("system", "user", "assistant")
DOMAINS: tuple[Domain, ...] = ("helpfulness", "safety")
LOSSES: tuple[Loss, ...] = ("all", "last")
PREFERENCE_RATINGS: tuple[PreferenceRating, ...] = ("significantly", "better", "slightly", "negligibly")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Dialog:
    """A conversation: an optional system message, then user and assistant in turn.

    A dialog that ends with the user is a prompt; one that ends with the assistant is a demonstration. `loss` says which of
    its answers are learnt from: all, or the last alone (paper section 3.3).
    """

    messages: tuple[Message, ...]
    id: str | None = None
    domain: Domain | None = None
    risk_category: str | None = None
    loss: Loss = "all"
    source: str = field(default="", compare=False)  # "file:line", where it was read

    @property
    def is_prompt(self) -> bool:
        """Whether the next turn is the assistant's."""
        return self.messages[-1].role == "user"

    def with_reply(self, reply: str) -> Dialog:
        """The same dialog with the assistant's `reply` appended."""
        return replace(self, messages=(*self.messages, Message("assistant", reply)))

    def to_row(self) -> dict[str, Any]:
        """The dialog as a line of a file (docs/data.md), without what is not known; `loss` is the writer's to add."""
        row = {
            "id": self.id,
            "domain": self.domain,
            "risk_category": self.risk_category,
            "messages": [asdict(message) for message in self.messages],
        }
        return {key: value for key, value in row.items() if value is not None}

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> Dialog:
        """Read what `to_row` wrote."""
        messages = tuple(Message(**message) for message in row["messages"])
        return Dialog(messages, row.get("id"), row.get("domain"), row.get("risk_category"))


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to one prompt, and which of them a person chose (paper section 3.2.1)."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    rating: PreferenceRating | None = None
    domain: Domain | None = None
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    annotator: str | None = None
    chosen_model: str | None = None
    rejected_model: str | None = None
    source: str = field(default="", compare=False)  # "file:line", where it was read


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater's label of one item."""

    item: str
    rater: str
    rating: float | str | None


def opening_of(messages: Sequence[Message]) -> str:
    """The system message and the first question: what tells conversations apart.

    Prompts, pairs and dialogs that begin alike are held out, and counted in intervals, as one: what is learnt of one turn
    tells of the next.
    """
    return "\n".join(message.content for message in messages[:2] if message.role != "assistant")


def problem_with_order(roles: list[str]) -> str | None:
    """Say what is wrong with the order of `roles`, or None: (system) user assistant user assistant ..."""
    turns = roles[1:] if roles and roles[0] == "system" else roles
    if not turns:
        return "there is no user message"
    for place, role in enumerate(turns):
        expected = "user" if place % 2 == 0 else "assistant"
        if role != expected:
            return f"message {place + 1 + len(roles) - len(turns)} is from {role!r} where {expected!r} was expected"
    return None
