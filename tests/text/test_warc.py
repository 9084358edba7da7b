"""Web archives: which records are rows, pages without markup, and archives that break off."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from paddock.errors import DataError
from paddock.text.files import is_readable, read_rows

PAGE = (
    "<html><head><title>T</title><style>p {}</style></head><body><h1>Über uns</h1><script>var he = 1;</script>"
    "<p>She &amp; I<br>met   <b>today</b>.</p></body></html>"
)


def archive(path: Path, gzip: bool, *records: tuple[str, str, bytes]) -> Path:
    """Write records of (record type, content type, body)."""
    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=gzip)
        for kind, content_type, body in records:
            headers = None
            if kind == "response":
                headers = StatusAndHeaders("200 OK", [("Content-Type", content_type)], protocol="HTTP/1.0")
            record = writer.create_warc_record(
                "http://example.org/",
                kind,
                payload=io.BytesIO(body),
                http_headers=headers,
                warc_content_type=content_type if headers is None else "application/http; msgtype=response",
            )
            writer.write_record(record)
    return path


def texts(path: Path) -> list[str]:
    return [row["text"] for _, row in read_rows(str(path))]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.wet.gz", "a.wet"])
def test_plain_texts_are_rows_with_their_address(tmp_path: Path, name: str):
    path = archive(tmp_path / name, name.endswith("gz"), ("conversion", "text/plain", "Grüße\n".encode()))
    assert is_readable(path)
    assert list(read_rows(str(path))) == [(1, {"text": "Grüße\n", "url": "http://example.org/"})]


def test_pages_lose_their_markup_and_scripts(tmp_path: Path):
    path = archive(tmp_path / "a.warc.gz", True, ("response", "text/html; charset=utf-8", PAGE.encode()))
    assert texts(path) == ["Über uns\nShe & I\nmet today."]


def test_a_declared_character_set_is_heeded_and_an_unknown_one_is_utf_8(tmp_path: Path):
    path = archive(
        tmp_path / "a.warc",
        False,
        ("response", 'text/html; charset="iso-8859-1"', "<p>Café</p>".encode("latin-1")),
        ("response", "text/html; charset=klingon", "<p>Café</p>".encode()),
        ("response", "text/html", b"<p>Caf\xff</p>"),
    )
    assert texts(path) == ["Café", "Café", "Caf\ufffd"]


def test_records_without_text_are_passed_over(tmp_path: Path):
    path = archive(
        tmp_path / "a.warc",
        False,
        ("response", "image/png", b"\x89PNG"),
        ("metadata", "text/plain", b"about"),
        ("conversion", "text/plain", b"a text"),
    )
    assert texts(path) == ["a text"]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_an_archive_that_breaks_off_is_an_error(tmp_path: Path, name: str):
    path = archive(tmp_path / name, name.endswith("gz"), *[("conversion", "text/plain", bytes(range(256)) * 40)] * 2)
    path.write_bytes(path.read_bytes()[: -600 if name == "a.warc" else -200])
    with pytest.raises(DataError):
        texts(path)


@pytest.mark.parametrize("content", [b"", b"no archive at all\n" * 9])
def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path, content: bytes):
    (tmp_path / "a.warc").write_bytes(content)
    with pytest.raises(DataError, match="web archive"):
        texts(tmp_path / "a.warc")
