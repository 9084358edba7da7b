"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Tests run in parallel, a process a core: more threads each would only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# They share their processors: how long an example takes is no sign of a defect.
hypothesis.settings.register_profile("paddock", deadline=None)
hypothesis.settings.load_profile("paddock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kill-offset",
        type=int,
        default=0,
        help="shifts the file operations at which tests/stages/test_killed.py kills: 0 to 52 together are all of them",
    )


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, for checks on real input; skipped where PADDOCK_TEST_DATA is unset."""
    folder = os.environ.get("PADDOCK_TEST_DATA")
    if not folder:
        pytest.skip("PADDOCK_TEST_DATA is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"PADDOCK_TEST_DATA is {folder!r}, which is not a folder")
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Where real data is promised, a test that skips did not do its work: it fails."""
    report = yield
    if report.skipped and os.environ.get("PADDOCK_TEST_DATA"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where PADDOCK_TEST_DATA is set: {report.longrepr}"
    return report


@dataclass
class Reply:
    """What the server sends: a status, a body (JSON or raw text), headers, or nothing at all for a while."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass
class Server:
    """The address, the requests so far (path, body, headers), and what answers them: set by a test."""

    url: str
    requests: list[tuple[str, dict[str, Any], dict[str, str]]]
    answer: Callable[[str, dict[str, Any]], Reply]
    closing: threading.Event

    reply = staticmethod(Reply)

    @staticmethod
    def chat(*texts: str, reason: str = "stop") -> Reply:
        """A chat answer with a choice a text, which cost 7 tokens to read and 3 to write."""
        choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": reason} for text in texts]
        return Reply({"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 3}})


@pytest.fixture
def server() -> Iterator[Server]:
    """A local HTTP server that answers as a test tells it to; by default every chat with "hello"."""
    found = Server("", [], lambda path, body: Server.chat("hello"), threading.Event())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: in two, the second waits for the first to be acknowledged

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.requests.append((self.path, body, {key.lower(): value for key, value in self.headers.items()}))
            reply = found.answer(self.path, body)
            if reply.hangs:
                found.closing.wait(30)
                return
            content = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            for name, value in {**reply.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    found.url = f"http://127.0.0.1:{http.server_port}/v1"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    found.closing.set()
    http.shutdown()
    http.server_close()
