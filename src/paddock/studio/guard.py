"""What stands between the web and the studio: who is signed in, forms that only our pages can send, limits, headers."""

from __future__ import annotations

import hmac
import math
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response

from paddock.run_dir import hash_of
from paddock.studio.opening import Studio
from paddock.studio.people import Person, csrf_of, session_owner

LONGEST_FORM = 256 * 1024  # bytes
MOST_FIELDS = 40
FALSE_SIGN_INS = 20  # tries with a wrong link, an address and minute

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class RefusedError(Exception):
    """A request that is answered with a page of its own: the status, and what to say."""

    def __init__(self, status: int, title: str, text: str, retry_after: int | None = None) -> None:
        super().__init__(title)
        self.status, self.title, self.text, self.retry_after = status, title, text, retry_after


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever is signed in, in this session."""

    person: Person
    session: str

    @property
    def csrf(self) -> str:
        """What their forms carry."""
        return csrf_of(self.session)


class Limiter:
    """So many events a minute for each key, by a bucket that fills steadily. Forgets keys whose bucket is full again."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted
        self.lock = threading.Lock()

    def seconds_to_wait(self, key: str, moment: float | None = None) -> float:
        """0 where an event is allowed, which is counted; else how long until one is."""
        moment = time.monotonic() if moment is None else moment
        with self.lock:
            if len(self.buckets) > 10_000:
                self.buckets = {key: bucket for key, bucket in self.buckets.items() if moment - bucket[1] < 60}
            tokens, counted = self.buckets.get(key, (float(self.per_minute), moment))
            tokens = min(float(self.per_minute), tokens + (moment - counted) * self.per_minute / 60)
            if tokens < 1:
                self.buckets[key] = (tokens, moment)
                return (1 - tokens) * 60 / self.per_minute
            self.buckets[key] = (tokens - 1, moment)
            return 0.0


def studio_of(request: Request) -> Studio:
    """The studio that the app serves."""
    studio: Studio = request.app.state.studio
    return studio


def cookie_name(studio: Studio) -> str:
    """Cookies know hosts and no ports: studies on one machine need names apart."""
    return f"studio_{hash_of(studio.study.name)}"


def visitor(request: Request) -> Visitor:
    """Who asks. Raises RefusedError for whoever is not signed in."""
    studio = studio_of(request)
    session = request.cookies.get(cookie_name(studio), "")
    person = session_owner(studio.engine, session) if session else None
    if person is None:
        text = "Open the link that the lead of the study sent you. A link works once: ask for a new one if yours was used."
        raise RefusedError(401, "Please sign in", text)
    return Visitor(person, session)


def lead(found: Visitor = Depends(visitor)) -> Visitor:
    """Who asks, if it is a lead. Raises RefusedError."""
    if found.person.role != "lead":
        raise RefusedError(403, "Not yours to see", "This page is for the leads of the study.")
    return found


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form. Raises RefusedError for one that is too long or none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise RefusedError(413, "Too long", f"A form may have {LONGEST_FORM // 1024} KB.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:  # not UTF-8, or too many fields
        raise RefusedError(400, "Not readable", "The form could not be read. Load the page again.") from None


@dataclass(frozen=True, slots=True)
class Posted:
    """A form from one of our own pages, and who sent it."""

    person: Person
    form: dict[str, str]


def posted(request: Request, found: Visitor = Depends(visitor), form: dict[str, str] = Depends(form_of)) -> Posted:
    """A form that may be acted upon. Raises RefusedError for one from elsewhere, and for too many."""
    if not hmac.compare_digest(form.get("csrf", "").encode(), found.csrf.encode()):
        raise RefusedError(403, "Not from this page", "The form is none of your session. Load the page again.")
    # Drafts have a limit of their own: whoever types for long is not to be refused when they send.
    what = "draft" if request.url.path.endswith("/draft") else "form"
    limit(request.app.state.posts, f"{what} {found.person.id}")
    return Posted(found.person, form)


def posted_by_lead(found: Posted = Depends(posted)) -> Posted:
    """A form of a lead's. Raises RefusedError."""
    if found.person.role != "lead":
        raise RefusedError(403, "Not yours to do", "This is for the leads of the study.")
    return found


def limit(limiter: Limiter, key: str) -> None:
    """Count an event. Raises RefusedError where there were too many."""
    if wait := limiter.seconds_to_wait(key):
        seconds = math.ceil(wait)
        raise RefusedError(429, "A little slower, please", f"Too many requests. Try again in {seconds} seconds.", seconds)


def add_headers(response: Response, secret: bool = True) -> None:
    """Put the security headers on a response; one that is `secret` is kept by no cache."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if secret:
        response.headers.setdefault("Cache-Control", "no-store")


def address_of(request: Request) -> str:
    """Where a request comes from; behind a proxy that uvicorn trusts, the client's own address."""
    client: Any = request.client
    return client.host if client else "unknown"
