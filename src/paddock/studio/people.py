"""Who takes part: links to sign in with, sessions, and roles.

A link holds a random token and works once; a second click by the same browser within a minute opens the same session again.
The database holds hashes of tokens alone, so a copy of it lets nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from paddock.studio.tables import links, now, people, reading, sessions

Role = Literal["annotator", "lead"]

DAY = 86_400.0
LINK_DAYS = 14
SESSION_DAYS = 30
SECOND_CLICK = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who takes part. Whoever is paused gets no further items."""

    id: int
    name: str
    role: Role
    paused: bool


def add_people(engine: sa.Engine, annotators: Sequence[str], leads: Sequence[str]) -> None:
    """Add those who are not there yet; a name keeps its role as the study has it now."""
    with engine.begin() as connection:
        known = {row.name: row.role for row in connection.execute(sa.select(people.c.name, people.c.role))}
        for role, names in (("annotator", annotators), ("lead", leads)):
            for name in names:
                if name not in known:
                    connection.execute(people.insert().values(name=name, role=role))
                elif known[name] != role:
                    connection.execute(people.update().where(people.c.name == name).values(role=role))


def everybody(database: sa.Engine | sa.Connection) -> list[Person]:
    """All people, leads first, by name."""
    with reading(database) as connection:
        rows = connection.execute(sa.select(people).order_by(people.c.role.desc(), people.c.name))
        return [Person(row.id, row.name, row.role, row.paused) for row in rows]


def make_link(engine: sa.Engine, person: int) -> str:
    """A new token for `person` to sign in with, once, within two weeks. Earlier links stay good."""
    token = secrets.token_urlsafe(24)
    with engine.begin() as connection:
        connection.execute(links.insert().values(token_hash=_hash(token), person=person, expires=now() + LINK_DAYS * DAY))
    return token


def link_owner(engine: sa.Engine, token: str) -> str | None:
    """The name of whom an unused link is for; None where it is no such link."""
    with reading(engine) as connection:
        found = connection.execute(
            sa.select(people.c.name)
            .join(links)
            .where(links.c.token_hash == _hash(token), links.c.used.is_(None), links.c.expires > now())
        )
        name: str | None = found.scalar_one_or_none()
        return name


def sign_in(engine: sa.Engine, token: str, browser: str | None = None) -> str | None:
    """Use a link up: a new session's token; None where the link is unknown, old or used.

    `browser` is a secret that only the browser in which the link was opened has. It and the link make the session's token,
    so that a form which that browser sends twice, as by a double click, finds the session that the first one opened.
    """
    key = (browser or secrets.token_urlsafe(32)).encode(errors="replace")
    session, moment = hmac.new(key, token.encode(errors="replace"), "sha256").hexdigest(), now()
    with engine.begin() as connection:
        person = connection.execute(
            links.update()
            .where(links.c.token_hash == _hash(token), links.c.used.is_(None), links.c.expires > moment)
            .values(used=moment)
            .returning(links.c.person)
        ).scalar_one_or_none()
        if person is None:
            opened = (
                sa.select(links.c.person)
                .join(sessions, sessions.c.person == links.c.person)
                .where(links.c.token_hash == _hash(token), links.c.used > moment - SECOND_CLICK)
                .where(sessions.c.token_hash == _hash(session))
            )
            return None if connection.execute(opened).first() is None else session
        expires = moment + SESSION_DAYS * DAY
        connection.execute(sessions.insert().values(token_hash=_hash(session), person=person, expires=expires))
    return session


def session_owner(engine: sa.Engine, session: str) -> Person | None:
    """Whose session it is; None where it is none, or too old."""
    with reading(engine) as connection:
        row = connection.execute(
            sa.select(people).join(sessions).where(sessions.c.token_hash == _hash(session), sessions.c.expires > now())
        ).one_or_none()
    return None if row is None else Person(row.id, row.name, row.role, row.paused)


def sign_out(engine: sa.Engine, session: str) -> None:
    """End a session."""
    with engine.begin() as connection:
        connection.execute(sessions.delete().where(sessions.c.token_hash == _hash(session)))


def pause(engine: sa.Engine, person: int, paused: bool) -> None:
    """Give someone no further items, or give them items again."""
    with engine.begin() as connection:
        connection.execute(people.update().where(people.c.id == person, people.c.role == "annotator").values(paused=paused))


def csrf_of(session: str) -> str:
    """What a form of this session carries, which another site cannot know."""
    return hashlib.blake2b(b"form", key=session.encode()[:64], digest_size=16).hexdigest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
