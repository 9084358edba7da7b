"""Training a tokenizer as a stage: what a dry run says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages.tokenizer import TokenizerSettings, plan, run
from paddock.text import sample


def settings(file: Path, **changes: object) -> TokenizerSettings:
    return parse(TokenizerSettings, {"data": str(file), "vocab_size": 300, **changes}, "test")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": f"the cat {n:04} sat on the mat with a hat"}) + "\n" for n in range(2000)))
    return file


def test_a_dry_run_says_rows_bytes_memory_and_time(texts: Path, tmp_path: Path) -> None:
    planned = plan(settings(texts))
    assert (planned["rows"], planned["counted"]) == (2000, "exactly")
    assert planned["bytes"] == 2000 * len("the cat 0000 sat on the mat with a hat")
    assert planned["rows"] == run(settings(texts), StageDir(tmp_path / "tokenizer"))["rows"]
    larger = plan(settings(texts, vocab_size=32_000, data=[{"path": str(texts), "weight": 100}]))
    for name in ("bytes", "memory_bytes", "estimated_seconds"):
        assert larger[name] > planned[name] > 0


def test_a_dry_run_of_a_large_corpus_reads_its_beginning_alone(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(texts, "a") as file:
        file.write("this row stops whoever reads so far\n")
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 10_000)
    planned = plan(settings(texts))
    assert planned["counted"].startswith("estimated from the first 264 rows")
    assert planned["rows"] == pytest.approx(2000, rel=0.5)  # what JSON adds to a text counts as text
