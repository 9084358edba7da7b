"""Who is shown what: an item goes to as many people as the study wants, and never twice to one.

`items.taken` counts the assignments of an item that are done or open, and grows only by an update that demands
`taken < wanted`: so however many people come at once, no item has too many. An open assignment is a lease. Where one has
run out, the next person who asks takes it back, and its place in the count with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import sqlalchemy as sa

from paddock.studio.study import StudySettings
from paddock.studio.tables import assignments, items, now, past_deadlocks, people, ratings, reading
from paddock.studio.tasks import TaskName

ROUNDING = 1e-9

Standing = Literal["not needed", "testing", "passed", "failed"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item as it stands before one person. `content` is that of the item, or of the conversation that they hold."""

    id: int
    item: int
    person: int
    item_name: str
    kind: str
    task: TaskName
    content: dict[str, Any]
    holds_own: bool
    swapped: bool
    state: str
    draft: dict[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a person is: real items and checks answered, and items that are open to them; of the test, items answered, in
    all, and right.
    """

    answered: int
    checks: int
    left: int
    tested: int
    test_items: int
    test_right: int

    @property
    def done(self) -> int:
        """Items answered, checks among them, as a person is to see it."""
        return self.answered + self.checks

    def standing(self, study: StudySettings) -> Standing:
        """How the person stands with the test."""
        return standing_of(study, self.tested, self.test_right, self.test_items)


def standing_of(study: StudySettings, tested: int, right: int, test_items: int) -> Standing:
    """How someone stands with the test who has answered `tested` of its items, so many of them right."""
    if study.qualification is None or not test_items:
        return "not needed"
    if tested < test_items:
        return "testing"
    return "passed" if right >= study.qualification.pass_share * test_items - ROUNDING else "failed"


def progress_of(connection: sa.Connection, person: int) -> Progress:
    """How far `person` is."""
    rows = connection.execute(
        sa.select(items.c.kind, sa.func.count(), sa.func.sum(sa.case((ratings.c.correct, 1), else_=0)))
        .select_from(assignments.join(items).join(ratings, ratings.c.id == assignments.c.rating))
        .where(assignments.c.person == person, assignments.c.state == "done")
        .group_by(items.c.kind)
    )
    counts = {kind: (count, int(right)) for kind, count, right in rows}
    test_items = connection.execute(sa.select(sa.func.count()).where(items.c.kind == "qualification")).scalar_one()
    free = sa.or_(
        assignments.c.state.in_(("open", "expired")), sa.and_(assignments.c.id.is_(None), items.c.taken < items.c.wanted)
    )
    own = sa.and_(assignments.c.item == items.c.id, assignments.c.person == person)
    left = connection.execute(
        sa.select(sa.func.count()).select_from(items.outerjoin(assignments, own)).where(items.c.kind == "item", free)
    ).scalar_one()
    (answered, _), (checks, _), (tested, right) = (
        counts.get(kind, (0, 0)) for kind in ("item", "attention", "qualification")
    )
    return Progress(answered, checks, left, tested, test_items, right)


def next_assignment(engine: sa.Engine, study: StudySettings, person: int) -> int | None:
    """What `person` is to answer now: what they left open, else something new, leased to them. None: there is nothing."""
    release_expired(engine, person)
    return past_deadlocks(lambda: _next_assignment(engine, study, person))


def _next_assignment(engine: sa.Engine, study: StudySettings, person: int) -> int | None:
    with engine.begin() as connection:
        lock_person(connection, person)
        moment = now()
        lease = moment + 60 * study.lease_minutes
        left = connection.execute(
            sa.select(assignments.c.id)
            .where(assignments.c.person == person, assignments.c.state.in_(("open", "expired")))
            .order_by(assignments.c.state.desc(), assignments.c.opened.desc())
        ).scalars()
        for known in left.all():
            if _hold(connection, known, lease):
                return int(known)
        item = _new_item(connection, study, person)
        if item is None:
            return None
        swapped = Random(f"sides {study.seed} {item} {person}").random() < 0.5
        added = connection.execute(
            assignments.insert()
            .values(item=item, person=person, state="open", swapped=swapped, opened=moment, expires=lease)
            .returning(assignments.c.id)
        )
        return int(added.scalar_one())


def _hold(connection: sa.Connection, assignment: int, lease: float) -> bool:
    """Renew the lease of an assignment, or take it up again; False where others have its place."""
    one = assignments.c.id == assignment
    row = connection.execute(sa.select(assignments.c.state, assignments.c.item).where(one).with_for_update()).one()
    held = row.state == "open" or (row.state == "expired" and take(connection, row.item))
    if held:
        connection.execute(assignments.update().where(one).values(state="open", expires=lease))
    return held


def renew(connection: sa.Connection, study: StudySettings, assignment: int, person: int, draft: Mapping[str, str]) -> bool:
    """Keep a form as it is, and the item for who is at it, as long as when it was given. False where it is not open."""
    kept = connection.execute(
        assignments.update()
        .where(assignments.c.id == assignment, assignments.c.person == person, assignments.c.state == "open")
        .values(draft=dict(draft), expires=now() + 60 * study.lease_minutes)
    )
    return kept.rowcount == 1


def lock_person(connection: sa.Connection, person: int) -> None:
    """Let one request of a person change what they hold at a time, whatever they do in several windows."""
    connection.execute(sa.select(people.c.id).where(people.c.id == person).with_for_update())


def release_expired(engine: sa.Engine, person: int) -> None:
    """Take back the leases of people other than `person` that have run out."""
    run_out = sa.and_(assignments.c.state == "open", assignments.c.expires < now(), assignments.c.person != person)
    with reading(engine) as connection:
        if not connection.execute(sa.select(assignments.c.id).where(run_out).limit(1)).first():
            return
    with engine.begin() as connection:  # one of its own, in one order, so that no two wait for each other's items
        released = connection.execute(
            assignments.update().where(run_out).values(state="expired").returning(assignments.c.item)
        ).scalars()
        for item in sorted(released.all()):
            connection.execute(items.update().where(items.c.id == item).values(taken=items.c.taken - 1))


def take(connection: sa.Connection, item: int) -> bool:
    """Take a place among an item's raters; False where there is none left."""
    free = sa.or_(items.c.wanted.is_(None), items.c.taken < items.c.wanted)
    return connection.execute(items.update().where(items.c.id == item, free).values(taken=items.c.taken + 1)).rowcount == 1


def _new_item(connection: sa.Connection, study: StudySettings, person: int) -> int | None:
    progress = progress_of(connection, person)
    standing = progress.standing(study)
    if standing == "failed":
        return None
    if standing == "testing":
        return _first_free(connection, "qualification", person)
    if study.attention and _check_is_due(connection, study.attention.every, study.seed, person, progress.answered):
        check = _first_free(connection, "attention", person)
        if check is not None:
            return check
    return _first_free(connection, "item", person)


def _check_is_due(connection: sa.Connection, every: int, seed: int, person: int, answered: int) -> bool:
    """Whether an attention check comes now: one among every so many items, at a place that chance decides."""
    given = connection.execute(
        sa.select(sa.func.count())
        .select_from(assignments.join(items))
        .where(assignments.c.person == person, items.c.kind == "attention")
    ).scalar_one()
    place = Random(f"checks {seed} {person} {given}").randrange(every)
    return answered >= given * every + place


def _first_free(connection: sa.Connection, kind: str, person: int) -> int | None:
    """Take the first item of a kind that `person` has not seen: those that others have begun come first.

    Two who ask PostgreSQL at once look at different rows, as each locks the one that it tries; SQLite lets one in at a time.
    """
    seen = sa.exists().where(assignments.c.item == items.c.id, assignments.c.person == person)
    free = sa.or_(items.c.wanted.is_(None), items.c.taken < items.c.wanted)
    begun = items.c.taken.desc() if kind == "item" else items.c.id
    query = sa.select(items.c.id).where(items.c.kind == kind, free, ~seen).order_by(begun, items.c.id).limit(1)
    # Test items and checks are for everybody, so nobody waits for their rows.
    item = connection.execute(query.with_for_update(skip_locked=True) if kind == "item" else query).scalar_one_or_none()
    if item is None and kind == "item":  # what is left may be locked by someone who will not take it
        item = connection.execute(query.with_for_update()).scalar_one_or_none()
    return int(item) if item is not None and take(connection, item) else None


def find(engine: sa.Engine, assignment: int, person: int) -> Assignment | None:
    """An assignment of `person`'s; None where it is not theirs."""
    with reading(engine) as connection:
        row = connection.execute(
            sa.select(assignments, items.c.name, items.c.kind, items.c.task, items.c.content.label("item_content"))
            .select_from(assignments.join(items))
            .where(assignments.c.id == assignment, assignments.c.person == person)
        ).one_or_none()
    if row is None:
        return None
    return Assignment(
        id=row.id,
        item=row.item,
        person=row.person,
        item_name=row.name,
        kind=row.kind,
        task=row.task,
        content=row.content if row.content is not None else row.item_content,
        holds_own=row.content is not None,
        swapped=row.swapped,
        state=row.state,
        draft=row.draft or {},
    )
