"""Documents out of web archives (WARC, ISO 28500), read by warcio: plain text as it stands, pages without their markup.

Records that hold text are rows: `conversion` (the plain texts of Common Crawl's WET files), and `response` of type HTML or
plain text. Pages are stripped of tags, scripts and styles, no more: what a reader would skip (menus, footers) is still
there, so a corpus that was extracted with care is better read from its own files.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

from paddock.errors import DataError

ENDINGS: Final = (".warc", ".warc.gz", ".wet", ".wet.gz")
SILENT: Final = frozenset({"script", "style", "noscript", "template", "head"})
BREAKS: Final = frozenset(
    (
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "footer", "form"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section"),
        *("table", "td", "th", "tr", "ul"),
    )
)


def warc_rows(path: str) -> Iterator[dict[str, Any]]:
    """A row `{"text", "url"}` for each record with text. Raises DataError for a file that is no archive, or breaks off."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    try:
        with open(path, "rb") as stream:
            records = 0
            for record in ArchiveIterator(stream):
                records += 1
                kind = record.rec_type
                declared = (record.http_headers or record.rec_headers).get_header("Content-Type") or "text/plain"
                is_page = kind == "response" and "html" in declared
                if is_page or (kind in ("conversion", "response") and declared.startswith("text/plain")):
                    body = record.content_stream().read().decode(_charset(declared), errors="replace")
                    yield {
                        "text": _without_markup(body) if is_page else body,
                        "url": record.rec_headers.get_header("WARC-Target-URI"),
                    }
                record.raw_stream.read()
                if getattr(record.raw_stream, "limit", 0) > 0:
                    raise DataError(path, "the archive ends before its end", mend="Fetch it or make it again")
            if not records:
                raise DataError(path, "holds no record of a web archive")
    except FileNotFoundError:
        raise DataError(path, "there is no such file") from None
    except (ArchiveLoadFailed, OSError, EOFError) as error:
        raise DataError(path, f"cannot be read as a web archive ({error})") from None


def _charset(content_type: str) -> str:
    """The declared character set, if Python knows it; else UTF-8."""
    _, _, named = content_type.lower().partition("charset=")
    name = named.split(";")[0].strip(" \"'")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "utf-8"


class _Text(HTMLParser):
    """Gathers the text of a page, a line a block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in SILENT
        if tag in BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.silent = max(0, self.silent - (tag in SILENT))
        if tag in BREAKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def _without_markup(page: str) -> str:
    parser = _Text()
    parser.feed(page)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)
