"""The studio's database: its tables, and opening it. SQLite in a file, or PostgreSQL by its URL.

An answer is never changed or removed: `ratings` only grows, and taking one back adds a row. So the number of rows tells
whether anything has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from paddock.errors import MissingExtraError, SettingsError

BUSY_SECONDS = 30.0
DEADLOCK = "40P01"  # PostgreSQL's code

Result = TypeVar("Result")

metadata = sa.MetaData()
Json = sa.JSON(none_as_null=True)

studies = sa.Table(  # whose database it is: one row
    "studies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)

people = sa.Table(
    "people",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),  # annotator or lead
    sa.Column("paused", sa.Boolean, nullable=False, default=False),
)

links = sa.Table(  # to sign in with, once; of the token only a hash is kept
    "links",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True),
    sa.Column("person", sa.ForeignKey("people.id"), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
    sa.Column("used", sa.Float(53)),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True),
    sa.Column("person", sa.ForeignKey("people.id"), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # in the order of the files
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),  # item, qualification or attention
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("content", Json, nullable=False),
    sa.Column("source_hash", sa.Text, nullable=False),  # of the file's row
    sa.Column("expected", Json),
    sa.Column("wanted", sa.Integer),  # raters; NULL: everybody
    sa.Column("taken", sa.Integer, nullable=False, default=0),  # assignments that are done or still open
    sa.Index("items_free", "kind", "taken", "id"),
)

assignments = sa.Table(  # an item that was shown to a person
    "assignments",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("item", sa.ForeignKey("items.id"), nullable=False),
    sa.Column("person", sa.ForeignKey("people.id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # open, done, expired or left out
    sa.Column("swapped", sa.Boolean, nullable=False),  # reply_b stands on side A
    sa.Column("opened", sa.Float(53), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
    sa.Column("draft", Json),  # the form as it was left
    sa.Column("content", Json),  # of a conversation that this person holds
    sa.Column("rating", sa.Integer),  # the answer that counts, a row of `ratings`
    sa.UniqueConstraint("item", "person"),
    sa.Index("assignments_of", "person", "state"),
    sa.Index("assignments_expire", "state", "expires"),
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("assignment", sa.ForeignKey("assignments.id"), nullable=False, index=True),
    sa.Column("form_key", sa.Text, nullable=False, unique=True),  # a form counts once
    sa.Column("answer", Json),  # by the file's sides; NULL: the one before was taken back
    sa.Column("correct", sa.Boolean),  # where the right answer is known
    sa.Column("seconds", sa.Float(53), nullable=False),  # from opening to answering
    sa.Column("active_seconds", sa.Float(53)),  # of them with the page in view, by the browser's word
    sa.Column("at", sa.Float(53), nullable=False),
    sqlite_autoincrement=True,
)

rulings = sa.Table(  # a lead's last word on an item; the newest counts
    "rulings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("item", sa.ForeignKey("items.id"), nullable=False, index=True),
    sa.Column("person", sa.ForeignKey("people.id"), nullable=False),
    sa.Column("form_key", sa.Text, nullable=False, unique=True),
    sa.Column("answer", Json, nullable=False),
    sa.Column("at", sa.Float(53), nullable=False),
    sqlite_autoincrement=True,
)


def open_database(url: str) -> sa.Engine:
    """Open the database at `url`, and make its tables where they are missing.

    Every commit is on disk before it returns: SQLite runs with a write-ahead log and `synchronous=FULL`, PostgreSQL with its
    `synchronous_commit` on. Raises SettingsError for a database that cannot be opened, MissingExtraError without a driver.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        shown = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite":
            engine = _sqlite(parsed)
        elif parsed.get_backend_name() == "postgresql":
            engine = _postgresql(parsed)
        else:
            raise SettingsError(f"{shown}: the studio keeps its data in SQLite or PostgreSQL")
        metadata.create_all(engine)
    except sa.exc.ArgumentError as error:
        raise SettingsError(f"--database: {error}. It is written postgresql://user:password@host/name") from None
    except sa.exc.OperationalError as error:
        raise SettingsError(f"{shown}: the database cannot be opened ({str(error.orig).strip()})") from None
    return engine


def past_deadlocks(transaction: Callable[[], Result]) -> Result:
    """Do `transaction` again where PostgreSQL ended it to resolve a deadlock: then nothing of it has happened.

    A row that was looked at and turned out to be taken stays locked until the transaction ends, so under load several that
    look for the last free items can come to wait for each other in a ring.
    """
    while True:
        try:
            return transaction()
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                raise


def sqlite_url(file: Path) -> str:
    """The URL of a database in a file."""
    return sa.URL.create("sqlite", database=str(file)).render_as_string()


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url, pool_size=20, max_overflow=40, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that means to write takes its turn at once: one that began as a reader could not wait for it.
        reads = connection.get_execution_options().get("reads_only")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtraError("psycopg", "postgres") from None
    return sa.create_engine(url, pool_pre_ping=True, pool_size=20, connect_args={"options": "-c synchronous_commit=on"})


@contextmanager
def reading(database: sa.Engine | sa.Connection) -> Iterator[sa.Connection]:
    """A connection that only reads, and sees one moment's state however many statements it runs.

    One that reads already is handed on, so that several readers can see the same moment.
    """
    if isinstance(database, sa.Connection):
        yield database
        return
    options: dict[str, Any] = {"reads_only": True}
    if database.dialect.name == "postgresql":  # whose READ COMMITTED shows each statement a moment of its own
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with database.connect().execution_options(**options) as connection:
        yield connection


def now() -> float:
    """Seconds since 1970."""
    return time.time()
