"""Studies in a temporary folder, a PostgreSQL server, and models that reply at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from paddock.protocols import Completion
from paddock.studio.browsing import Annotator, browser, served
from paddock.studio.opening import Studio, open_studio
from paddock.studio.people import everybody, make_link
from paddock.studio.study import StudySettings
from paddock.studio.tables import metadata


def pair(number: int, **more: Any) -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"Question {number}?"}]
    replies = {"reply_a": f"Reply a to {number}.", "reply_b": f"Reply b to {number}."}
    return {"id": f"p{number}", "prompt": prompt, **replies, "model_a": "sft", "model_b": "v5", **more}


def single(number: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": f"Reply {number}."}]
    return {"id": f"s{number}", "messages": messages, "model": "v5", **more}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


class Parrot:
    """A chat model that says how warm it is and what it heard; no two replies of different temperature are the same."""

    def complete(self, prompts, sampling):
        return [[Completion(f"At {sampling.temperature:g} I heard: {prompt.messages[-1].content}")] for prompt in prompts]


@pytest.fixture
def make_studio(tmp_path: Path) -> Callable[..., Studio]:
    """Open a study of three annotators and a lead; without `rows`, of `count` pairs to compare."""
    opened = []

    def make(
        rows: list[dict[str, Any]] | None = None,
        database: str | None = None,
        open_model=None,
        count: int = 3,
        **settings: Any,
    ) -> Studio:
        values = {"name": "a study", "task": "side-by-side", "annotators": ("Ada", "Ben", "Chen"), **settings}
        if "sessions" not in values:
            rows = [pair(number) for number in range(count)] if rows is None else rows
            values["data"] = write_rows(tmp_path / "items.jsonl", rows)
        studio = open_studio(StudySettings(**values), tmp_path / "study", database, open_model or (lambda _: Parrot()))
        opened.append(studio)
        return studio

    yield make
    for studio in opened:
        studio.engine.dispose()


def find_id(studio: Studio, name: str) -> int:
    return next(person.id for person in everybody(studio.engine) if person.name == name)


@pytest.fixture
def id_of() -> Callable[[Studio, str], int]:
    """The id of a person by name."""
    return find_id


@pytest.fixture(name="pair")
def make_pair() -> Callable[..., dict[str, Any]]:
    """A row of two replies, by number."""
    return pair


@pytest.fixture(name="single")
def make_single() -> Callable[..., dict[str, Any]]:
    """A row of one reply, by number."""
    return single


@pytest.fixture
def visit() -> Iterator[Callable[..., Annotator]]:
    """Serve a studio, once, and sign someone in: an annotator at a browser."""
    addresses: dict[int, str] = {}
    open_now: list[Any] = []

    def enter(studio: Studio, name: str = "Ada") -> Annotator:
        if id(studio) not in addresses:
            serving = served(studio)
            addresses[id(studio)] = serving.__enter__()
            open_now.append(serving)
        client = browser(addresses[id(studio)])
        open_now.append(client)
        annotator = Annotator(client)
        annotator.enter(make_link(studio.engine, find_id(studio, name)))
        return annotator

    yield enter
    for each in reversed(open_now):
        each.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a fresh PostgreSQL server, from Debian's binaries, as a user without rights."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    bin_folder = binaries[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="paddock-postgres-"))
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": ()}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "cwd": folder, **as_user}
    options = f"-k {folder} -c listen_addresses='' -c max_connections=100"
    control = [bin_folder / "pg_ctl", "-D", folder / "data", "-w"]
    subprocess.run(
        [bin_folder / "initdb", "-D", folder / "data", "-U", "studio", "-A", "trust", "--no-sync"], check=True, **quiet
    )
    subprocess.run([*control, "-o", options, "-l", folder / "log", "start"], check=True, **quiet)
    yield f"postgresql://studio@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """An empty database."""
    engine = sa.create_engine(postgres_server.replace("postgresql:", "postgresql+psycopg:"))
    metadata.drop_all(engine)
    engine.dispose()
    return postgres_server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """Either database."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres")
