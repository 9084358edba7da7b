"""Pages from templates. Whatever people or models wrote is escaped."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from paddock.studio.guard import Visitor
from paddock.studio.opening import Studio
from paddock.studio.people import csrf_of

PAGES = Path(__file__).parent / "pages"
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
SCRIPTS = (  # a language whose letters need a face of their own, by the blocks of Unicode that mark it
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile("[\u4e00-\u9fff\u3400-\u4dbf]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("hi", re.compile("[\u0900-\u097f]")),
)


def page(template: str, studio: Studio, found: Visitor | None = None, status: int = 200, **values: Any) -> HTMLResponse:
    """A page as a response; `found` is who sees it."""
    html = _environment.get_template(template).render(
        study=studio.study,
        person=found.person if found else None,
        csrf=csrf_of(found.session) if found else "",
        form_key=secrets.token_urlsafe(18),
        **values,
    )
    return HTMLResponse(html, status)


def language_of(text: str) -> str | None:
    """The language to set a text in, by its letters; None where the page's own will do. Kana decide before Han."""
    return next((language for language, letters in SCRIPTS if letters.search(text)), None)


def printable(value: Any) -> Any:
    """Text that a page can hold: control characters and lone surrogates become the replacement character."""
    return UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


def turns_of(messages: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Messages with who speaks, and which exchange it is."""
    speakers = {"system": "System message", "user": "User", "assistant": "Assistant"}
    number, turns = 0, []
    for message in messages:
        number += message["role"] == "user"
        turns.append(
            {"role": message["role"], "speaker": speakers[message["role"]], "number": number, "text": message["content"]}
        )
    return turns


def percent(share: float | None) -> str:
    """`72%`."""
    return "–" if share is None else f"{100 * share:.0f}%"


def decimal(value: float | None, digits: int = 2) -> str:
    """A figure to two digits, with a minus sign that is one; a dash where it is unknown."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """`48 s`, `3.2 min`, `1.5 h`."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"


def moment(at: float | None) -> str:
    """`2026-05-01 14:03` UTC."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(PAGES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=printable,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(percent=percent, decimal=decimal, duration=duration, moment=moment, language=language_of)
