"""Chunks of rows: whole or not at all, and made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.stages import chunks
from paddock.stages.chunks import rows_in_chunks


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "PROMPTS_A_CHUNK", 2)


def test_rows_come_in_order_and_a_chunk_that_lies_there_is_not_made_again(tmp_path: Path):
    made: list[tuple[list[str], int]] = []

    def rows_of(some, chunk):
        made.append((list(some), chunk))
        return [{"said": f"{prompt}{number}"} for prompt in some for number in (1, 2)]

    prompts = ["a", "b", "c", "d", "e"]
    first = list(rows_in_chunks(tmp_path, prompts, rows_of, "test"))
    assert [row["said"] for row in first] == ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2", "e1", "e2"]
    assert made == [(["a", "b"], 0), (["c", "d"], 1), (["e"], 2)]
    (tmp_path / "000001.jsonl").unlink()
    (tmp_path / ".000001.jsonl.7.tmp").write_text("half")  # what a kill leaves
    assert list(rows_in_chunks(tmp_path, prompts, rows_of, "test")) == first
    assert made[3:] == [(["c", "d"], 1)]
    assert not list(tmp_path.glob(".*"))
