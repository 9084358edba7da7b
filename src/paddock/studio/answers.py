"""Answers: given once, however often a form arrives; taken back; and kept half-way as drafts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from paddock.studio.assignment import lock_person, progress_of, renew, take
from paddock.studio.study import StudySettings
from paddock.studio.tables import assignments, items, now, ratings, rulings
from paddock.studio.tasks import TASKS, AnswerError, as_form, is_right, mirrored

KEY_LENGTH = 8, 64


def submit(
    engine: sa.Engine,
    assignment: int,
    person: int,
    form_key: str,
    answer: Mapping[str, Any],
    active_seconds: float | None = None,
) -> bool:
    """Accept an answer, given by the sides shown. True: it counts now; False: this form was counted before.

    Once this returns, the answer is on disk. Raises AnswerError where the item is not this person's, is answered through
    another form, or was given to others after its lease ran out.
    """
    checked_key(form_key)
    with engine.begin() as connection:
        found = _locked(connection, assignment, person)
        if connection.execute(sa.select(ratings.c.id).where(ratings.c.form_key == form_key)).first():
            return False
        if found.state in ("done", "left out"):
            raise AnswerError("This item is answered already. Take the answer back to change it.")
        if found.state == "expired" and not take(connection, found.item):
            raise AnswerError("Your time for this item ran out, and others have answered it since. It is not counted.")
        given = mirrored(TASKS[found.task], answer) if found.swapped else dict(answer)
        moment = now()
        rating = connection.execute(
            ratings.insert()
            .values(
                assignment=assignment,
                form_key=form_key,
                answer=given,
                correct=is_right(given, found.expected) if found.expected else None,
                seconds=moment - found.opened,
                active_seconds=active_seconds,
                at=moment,
            )
            .returning(ratings.c.id)
        ).scalar_one()
        connection.execute(
            assignments.update().where(assignments.c.id == assignment).values(state="done", rating=rating, draft=None)
        )
    return True


def undo(engine: sa.Engine, study: StudySettings, person: int, form_key: str) -> int | None:
    """Take back the last answer of `person`, and open its item again with that answer filled in.

    Returns the assignment; None where there is nothing to take back. The answers of a finished test stay. The same form
    takes back once.
    """
    checked_key(form_key)
    with engine.begin() as connection:
        lock_person(connection, person)
        again = connection.execute(
            sa.select(ratings.c.assignment).where(ratings.c.form_key == form_key)
        ).scalar_one_or_none()
        if again is not None:
            return int(again)
        of_test = () if progress_of(connection, person).standing(study) == "testing" else (items.c.kind != "qualification",)
        last = connection.execute(
            sa.select(assignments.c.id, assignments.c.swapped, ratings.c.answer, items.c.task)
            .select_from(assignments.join(items).join(ratings, ratings.c.id == assignments.c.rating))
            .where(assignments.c.person == person, assignments.c.state == "done", *of_test)
            .order_by(ratings.c.id.desc())
            .limit(1)
        ).one_or_none()
        if last is None:
            return None
        moment = now()
        connection.execute(ratings.insert().values(assignment=last.id, form_key=form_key, seconds=0.0, at=moment))
        shown = mirrored(TASKS[last.task], last.answer) if last.swapped else last.answer
        connection.execute(
            assignments.update()
            .where(assignments.c.id == last.id, assignments.c.state == "done")
            .values(
                state="open", rating=None, opened=moment, expires=moment + 60 * study.lease_minutes, draft=as_form(shown)
            )
        )
        return int(last.id)


def save_draft(engine: sa.Engine, study: StudySettings, assignment: int, person: int, draft: Mapping[str, str]) -> bool:
    """Keep a form as it is, and the item for who is at it. False where the item is not open."""
    with engine.begin() as connection:
        return renew(connection, study, assignment, person, draft)


def leave_out(engine: sa.Engine, assignment: int, person: int) -> None:
    """Pass over an item to which the models gave no reply. Where it is everybody's, nobody gets it any more; in a
    conversation of their own, it is somebody else's turn.
    """
    with engine.begin() as connection:
        found = _locked(connection, assignment, person)
        if found.state == "open":
            connection.execute(assignments.update().where(assignments.c.id == assignment).values(state="left out"))
            changed = {"wanted": 0} if found.content is None else {"taken": items.c.taken - 1}
            connection.execute(items.update().where(items.c.id == found.item).values(**changed))


def rule(engine: sa.Engine, item: int, lead: int, form_key: str, answer: Mapping[str, Any]) -> None:
    """A lead's last word on an item, by the file's sides; a later one replaces it."""
    checked_key(form_key)
    with engine.begin() as connection:
        if not connection.execute(sa.select(rulings.c.id).where(rulings.c.form_key == form_key)).first():
            connection.execute(
                rulings.insert().values(item=item, person=lead, form_key=form_key, answer=dict(answer), at=now())
            )


def _locked(connection: sa.Connection, assignment: int, person: int) -> Any:
    """The assignment, which nobody else changes before this transaction ends. Raises AnswerError."""
    row = connection.execute(
        sa.select(
            assignments.c.state,
            assignments.c.item,
            assignments.c.opened,
            assignments.c.swapped,
            assignments.c.content,
            items.c.task,
            items.c.expected,
        )
        .select_from(assignments.join(items))
        .where(assignments.c.id == assignment, assignments.c.person == person)
        .with_for_update(of=assignments)
    ).one_or_none()
    if row is None:
        raise AnswerError("There is no such item among yours.")
    return row


def checked_key(form_key: str) -> str:
    """The key of a form, by which it counts once. Raises AnswerError for one that no page of ours holds."""
    shortest, longest = KEY_LENGTH
    if not shortest <= len(form_key) <= longest:
        raise AnswerError("This form is damaged. Load the page again.")
    return form_key
