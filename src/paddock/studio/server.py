"""Serve a study: its links are printed for the lead, and then pages are served until the process ends."""

from __future__ import annotations

import socket
from pathlib import Path

import uvicorn

from paddock.errors import SettingsError
from paddock.progress import say
from paddock.studio.app import create_app
from paddock.studio.opening import Studio, open_studio
from paddock.studio.people import everybody, make_link
from paddock.studio.study import StudySettings


def serve(study: StudySettings, out: Path, database: str | None, host: str, port: int, address: str | None = None) -> None:
    """Open the study and serve it. `address` is where people reach it, if that is another than host and port."""
    studio = open_studio(study, out, database)
    if studio.replier:
        studio.replier.open_models()
    listening = listen(host, port)
    base = address or f"http://{host}:{listening.getsockname()[1]}"
    for line in invitations(studio, base.rstrip("/")):
        print(line, flush=True)
    say(f"{study.name}: {study.task}, at {base}; answers in {out if database is None else 'the database'}. Ctrl-C ends it")
    server(studio).run(sockets=[listening])


def invitations(studio: Studio, base: str) -> list[str]:
    """A new link for everybody, a line a person, leads first."""
    people = everybody(studio.engine)
    width = max(len(person.name) for person in people)
    return [
        f"{person.role:<9}  {person.name:<{width}}  {base}/enter/{make_link(studio.engine, person.id)}" for person in people
    ]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. Raises SettingsError where there is none to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingsError(f"--host {host} --port {port}: {error.strerror}. Give another port") from None
    listening.listen(512)
    return listening


def server(studio: Studio) -> uvicorn.Server:
    """What serves the studio; `run(sockets=[...])` blocks until it should stop."""
    # No log of requests is written, so none holds a link. Uvicorn takes the client's address from a proxy on this machine.
    config = uvicorn.Config(create_app(studio), log_level="warning", backlog=512, timeout_keep_alive=30, server_header=False)
    return uvicorn.Server(config)
