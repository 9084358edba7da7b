"""Open a study: its folder, its database, its items and its people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from paddock.backends.spec import Spec
from paddock.errors import PaddockError, SettingsError
from paddock.protocols import ChatModel
from paddock.run_dir import atomic_write, hash_of, refuse_strangers, to_json
from paddock.settings import parse
from paddock.studio.conversation import Replier
from paddock.studio.items import Item, items_of
from paddock.studio.people import add_people
from paddock.studio.study import StudySettings
from paddock.studio.tables import items, open_database, reading, sqlite_url, studies

STUDY_FILE, DATABASE_FILE = "study.json", "study.sqlite"


@dataclass(frozen=True)
class Studio:
    """A study that is open: its settings, its database, and what samples live replies, where models do."""

    study: StudySettings
    engine: sa.Engine
    replier: Replier | None = None


def open_studio(
    study: StudySettings, out: Path, database: str | None = None, open_model: Callable[[Spec], ChatModel] | None = None
) -> Studio:
    """Open `study` with its folder `out`, for the first time or again. New items and people are added to those there.

    The database is `study.sqlite` in the folder, or that at the URL `database`. Raises PaddockError where the folder is
    another's, DataError for an item that cannot be shown, SettingsError where the database holds another study, or an item
    that is there has changed.
    """
    refuse_strangers(out, STUDY_FILE)
    found = items_of(study)
    out.mkdir(parents=True, exist_ok=True)
    engine = open_database(database or sqlite_url(out / DATABASE_FILE))
    claim(engine, study.name)
    add_items(engine, study, found)
    add_people(engine, study.annotators, study.leads)
    atomic_write(out / STUDY_FILE, to_json(study.model_dump(mode="json")))
    return Studio(study, engine, Replier(engine, study, open_model or _open_model) if study.models else None)


def reopen(out: Path, database: str | None = None) -> Studio:
    """Open the study that lies in `out`, to look at it. Raises PaddockError where there is none."""
    file = out / STUDY_FILE
    if not file.is_file():
        raise PaddockError(
            f"{out} holds no study: there is no {STUDY_FILE} in it. `paddock studio STUDY.yaml --out {out}` makes one"
        )
    study = parse(StudySettings, json.loads(file.read_text(encoding="utf-8")), str(file))
    if database is None and not (out / DATABASE_FILE).is_file():
        raise PaddockError(f"{out} holds no {DATABASE_FILE}: the study's answers are elsewhere. Give --database")
    engine = open_database(database or sqlite_url(out / DATABASE_FILE))
    if (held := study_in(engine)) != study.name:
        what = "no study" if held is None else f"the study {held!r}"
        raise PaddockError(f"the database holds {what}, and {out} is of {study.name!r}: --database names another one")
    return Studio(study, engine)


def study_in(engine: sa.Engine) -> str | None:
    """The name of the study whose database it is."""
    with reading(engine) as connection:
        name: str | None = connection.execute(sa.select(studies.c.name)).scalar_one_or_none()
        return name


def claim(engine: sa.Engine, name: str) -> None:
    """Make the database that of the study `name`. Raises SettingsError where it is another's: their items would mix."""
    with engine.begin() as connection:
        held = connection.execute(sa.select(studies.c.name)).scalar_one_or_none()
        if held is None:
            connection.execute(studies.insert().values(id=1, name=name))
    if held not in (None, name):
        raise SettingsError(f"the database holds the study {held!r}, and this is {name!r}. Give each a database of its own")


def add_items(engine: sa.Engine, study: StudySettings, found: list[Item]) -> None:
    """Add the items that are not there yet. Raises SettingsError where one that is there reads otherwise now."""
    with engine.begin() as connection:
        known = dict(connection.execute(sa.select(items.c.name, items.c.source_hash)).tuples().all())
        rows = []
        for item in found:
            source_hash = hash_of([item.task.name, item.content, item.expected])
            if item.name not in known:
                raters = study.raters if study.data else 1  # a session is one person's
                rows.append(
                    {
                        "name": item.name,
                        "kind": item.kind,
                        "task": item.task.name,
                        "content": item.content,
                        "source_hash": source_hash,
                        "expected": item.expected,
                        "wanted": raters if item.kind == "item" else None,
                    }
                )
            elif known[item.name] != source_hash:
                raise SettingsError(
                    f"item {item.name!r} is not what it was when the study began, and people may have answered it. "
                    "Give the changed item another id, or begin the study in a new folder"
                )
        if rows:
            connection.execute(items.insert(), rows)
        if study.data:  # the number of raters may change from one start to the next; 0 marks what was left out
            asked = (items.c.kind == "item", items.c.wanted > 0)
            connection.execute(items.update().where(*asked).values(wanted=study.raters))


def _open_model(spec: Spec) -> ChatModel:
    from paddock.backends.open import open_chat_model

    return open_chat_model(spec)
