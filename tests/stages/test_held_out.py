"""What is kept of the replies to held-out prompts, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.run_dir import StageDir
from paddock.stages.held_out import read_replies, write_replies


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0c", "\ud800", "ä"])
def test_replies_come_back_whatever_characters_they_hold(tmp_path: Path, character: str) -> None:
    """Some of these end a line for Python, and not for JSON."""
    rows = [{"answer": f"one{character}two"}, {"answer": "three"}]
    write_replies(StageDir(tmp_path), 3, rows)
    assert read_replies(StageDir(tmp_path), 3) == rows
