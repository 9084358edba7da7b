"""A real server process that is killed at once after an answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from paddock.studio.browsing import Annotator, browser
from paddock.studio.opening import reopen
from paddock.studio.results import answers


@contextmanager
def real_server(folder, *words):
    """`paddock studio` in a process of its own: the process, and links by name."""
    command = [
        sys.executable,
        "-m",
        "paddock",
        "studio",
        folder / "study.yaml",
        "--out",
        folder / "study",
        "--port",
        "0",
        *words,
    ]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ}
    )
    links = {}
    for _ in range(3):
        _, name, link = process.stdout.readline().split()
        links[name] = link
    try:
        yield process, links
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_accepted_answer_survives_kill_9_at_once(tmp_path, database, pair):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair(number)) + "\n" for number in range(4)))
    settings = f"name: s\ntask: side-by-side\ndata: {tmp_path}/pairs.jsonl\nannotators: [Ada, Ben]\n"
    (tmp_path / "study.yaml").write_text(settings)
    words = ("--database", database) if database else ()
    accepted = 0
    session = None
    ratings = ("1", "7") if database is None else ("1",)  # a process takes seconds to start
    for rating in ratings:
        with real_server(tmp_path, *words) as (process, links):
            address, token = links["Ada"].split("/enter/")
            with browser(address) as client:
                annotator = Annotator(client)
                if session is None:
                    annotator.enter(token)
                    session = dict(client.cookies)
                client.cookies.update(session)
                annotator.send(annotator.next_item(), {"rating": rating})
                process.send_signal(signal.SIGKILL)
                accepted += 1
        studio = reopen(tmp_path / "study", database)
        found = answers(studio.engine)
        studio.engine.dispose()
        assert len(found) == accepted
    assert [8 - one.answer["rating"] if one.swapped else one.answer["rating"] for one in found] == list(map(int, ratings))
