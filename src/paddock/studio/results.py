"""What was answered, as rows: each answer that counts, with its item. Everything that is counted or exported begins here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from paddock.run_dir import hash_of
from paddock.studio.tables import assignments, items, people, ratings, reading, rulings
from paddock.text.dialog import Message, opening_of


@dataclass(frozen=True, slots=True)
class Rated:
    """One answer that counts. `answer` speaks of the file's sides; `swapped`: reply_b was shown as A.

    `is_own`: the content is a conversation that the rater held themselves, so that nobody else rated the same.
    """

    number: int  # of the rating: later ones are larger
    item: int
    item_name: str
    kind: str
    content: dict[str, Any]
    is_own: bool
    rater: str
    answer: dict[str, Any]
    right: bool | None
    swapped: bool
    opened: float
    at: float
    seconds: float
    active_seconds: float | None

    @property
    def subject(self) -> str:
        """What was rated, by name: the item, or what the rater made of it on their own."""
        return f"{self.item_name}/{self.rater}" if self.is_own else self.item_name

    @property
    def conversation(self) -> str:
        """What the items that begin alike, and so are turns of one conversation, have in common."""
        messages = [Message(message["role"], message["content"]) for message in self.content["messages"]]
        return hash_of(opening_of(messages)) if messages and not self.is_own else self.subject

    @property
    def models(self) -> list[str]:
        """The models of the replies, the file's a first; of a conversation, the model that it was held with."""
        replies = self.content.get("replies")
        return [str(reply["model"]) for reply in replies] if replies else [str(self.content.get("model", "model"))]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A lead's last word on an item."""

    lead: str
    answer: dict[str, Any]
    at: float


def state_of(engine: sa.Engine) -> tuple[int, ...]:
    """How many ratings, rulings, and items left out there are: where none has come, no figure has moved.

    Rows are counted, since the highest id does not tell: PostgreSQL may commit a lower one later.
    """
    left_out = sa.select(sa.func.count()).where(items.c.kind == "item", items.c.wanted == 0)
    counts = [sa.select(sa.func.count()).select_from(table) for table in (ratings, rulings)]
    with reading(engine) as connection:
        return tuple(connection.execute(query).scalar_one() for query in (*counts, left_out))


def answers(database: sa.Engine | sa.Connection, kinds: Sequence[str] = ("item",), item: int | None = None) -> list[Rated]:
    """The answers that count, in the order in which they were given; those of one item where it is named."""
    found = (
        sa.select(
            ratings.c.id,
            ratings.c.answer,
            ratings.c.correct,
            ratings.c.at,
            ratings.c.seconds,
            ratings.c.active_seconds,
            assignments.c.item,
            assignments.c.swapped,
            assignments.c.opened,
            assignments.c.content,
            people.c.name.label("rater"),
        )
        .select_from(
            assignments.join(ratings, ratings.c.id == assignments.c.rating)
            .join(people)
            .join(items, items.c.id == assignments.c.item)
        )
        .where(items.c.kind.in_(kinds), assignments.c.state == "done")
        .order_by(ratings.c.id)
    )
    about = sa.select(items.c.id, items.c.name, items.c.kind, items.c.content).where(items.c.kind.in_(kinds))
    if item is not None:
        found, about = found.where(items.c.id == item), about.where(items.c.id == item)
    with reading(database) as connection:
        known = {row.id: row for row in connection.execute(about)}
        return [
            Rated(
                number=row.id,
                item=row.item,
                item_name=known[row.item].name,
                kind=known[row.item].kind,
                content=row.content if row.content is not None else known[row.item].content,
                is_own=row.content is not None,
                rater=row.rater,
                answer=row.answer,
                right=row.correct,
                swapped=row.swapped,
                opened=row.opened,
                at=row.at,
                seconds=row.seconds,
                active_seconds=row.active_seconds,
            )
            for row in connection.execute(found)
        ]


def last_words(database: sa.Engine | sa.Connection) -> dict[int, Ruling]:
    """The newest ruling of each item that has one."""
    columns = (rulings.c.item, people.c.name, rulings.c.answer, rulings.c.at)
    query = sa.select(*columns).select_from(rulings.join(people)).order_by(rulings.c.id)
    with reading(database) as connection:
        return {row.item: Ruling(row.name, row.answer, row.at) for row in connection.execute(query)}


def by_item(rated: Sequence[Rated]) -> dict[int, list[Rated]]:
    """The answers of each item."""
    grouped: dict[int, list[Rated]] = {}
    for one in rated:
        grouped.setdefault(one.item, []).append(one)
    return grouped
