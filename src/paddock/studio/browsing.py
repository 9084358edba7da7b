"""An annotator that is a program: signs in with a link, reads pages, and fills in forms, over HTTP as a browser does."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from threading import Thread
from typing import Any

import httpx

from paddock.errors import PaddockError
from paddock.studio.opening import Studio
from paddock.studio.server import listen, server

SECONDS = 60.0


@dataclass
class Shown:
    """What a page shows: its texts by part (messages in order, with their roles), and its form of answers, if it has one."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)
    action: str | None = None
    fields: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.shown = Shown()
        self.part: str | None = None
        self.text: list[str] = []
        self.in_answer = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "data-part" in found:
            self.part, self.text = found["data-part"], []
            self.empty = "data-empty" in found
        if tag == "form":
            self.in_answer = found.get("id") == "answer"
            if self.in_answer:
                self.shown.action = found.get("action")
        if tag == "input" and self.in_answer and found.get("type") == "hidden":
            self.shown.fields[found.get("name") or ""] = found.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if self.part is None or tag not in ("div", "p"):
            return
        text = "" if self.empty else "".join(self.text)
        if self.part.startswith("reply"):
            self.shown.replies[self.part] = text
        else:
            self.shown.messages.append((self.part, text))
        self.part = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read_page(html: str) -> Shown:
    """What is on a page."""
    reader = _Reader()
    reader.feed(html)
    return reader.shown


class Annotator:
    """Someone at a browser."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def enter(self, token: str) -> None:
        """Sign in with a link's token. Raises PaddockError where it is refused."""
        self._check(self.client.post("/enter", data={"token": token}, follow_redirects=False))

    def next_item(self) -> Shown | None:
        """The next item; None where there is nothing to do."""
        shown = read_page(self._check(self.client.get("/rate")).text)
        return shown if shown.action else None

    def send(self, shown: Shown, answer: Mapping[str, str]) -> None:
        """Send an answer. Raises PaddockError where it is refused."""
        assert shown.action, "there is a form"
        self._check(self.client.post(shown.action, data={**shown.fields, **answer}, follow_redirects=False))

    def answer_all(self, judge: Callable[[Shown], Mapping[str, str]]) -> int:
        """Answer items until there are no more; returns how many."""
        count = 0
        while shown := self.next_item():
            self.send(shown, judge(shown))
            count += 1
        return count

    def _check(self, response: httpx.Response) -> httpx.Response:
        if response.status_code >= 400:
            raise PaddockError(
                f"the studio answered {response.status_code} to {response.request.method} {response.request.url.path}"
            )
        return response


@contextmanager
def served(studio: Studio) -> Iterator[str]:
    """Serve a studio on a free port of this machine, in a thread; yields its address."""
    listening = listen("127.0.0.1", 0)
    running = server(studio)
    thread = Thread(target=running.run, kwargs={"sockets": [listening]}, name="studio", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(SECONDS)
        listening.close()


def browser(address: str, **options: Any) -> httpx.Client:
    """A client that keeps cookies and follows redirections, of no proxy."""
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a studio of ours speaks HTTP: no certificates need be read
    return httpx.Client(base_url=address, follow_redirects=True, timeout=SECONDS, trust_env=False, verify=plain, **options)
