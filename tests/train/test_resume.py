"""A run killed at any moment goes on to the same bits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

TIMED = {"seconds", "tokens_per_second"}


def metrics(folder: Path) -> list[dict]:
    """The rows of a run's metrics, without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


def run_to_the_end(tiny_run: Callable[..., dict], folder: Path, job: dict) -> dict:
    answer = tiny_run(folder, **job)
    assert answer["signal"] == 0, answer
    assert answer["error"] is None
    return answer


def test_a_run_killed_before_any_of_its_file_operations_ends_in_the_same_bits(tiny_run, tmp_path: Path) -> None:
    job = {"steps": 6, "settings": {"save_every": 2, "keep_saves": 1, "keep": "best"}}
    whole = run_to_the_end(tiny_run, tmp_path / "whole", job)
    assert whole["operations"] > 25
    for operation in range(1, whole["operations"] + 1):
        folder = tmp_path / str(operation)
        assert tiny_run(folder, **job, kill_at=operation)["signal"] == 9
        resumed = run_to_the_end(tiny_run, folder, job)
        assert resumed["weights"] == whole["weights"], f"killed before file operation {operation}"
        assert metrics(folder) == metrics(tmp_path / "whole"), f"killed before file operation {operation}"


def test_a_run_killed_again_while_it_resumes_ends_in_the_same_bits(tiny_run, tmp_path: Path) -> None:
    job = {"steps": 6, "settings": {"save_every": 1, "keep_saves": 2}}
    whole = run_to_the_end(tiny_run, tmp_path / "whole", job)
    folder, kills = tmp_path / "killed", 0
    while (answer := tiny_run(folder, **job, kill_at=15))["signal"] == 9:
        kills += 1
        assert kills < 50
    assert kills >= 2
    assert answer["weights"] == whole["weights"]
    assert metrics(folder) == metrics(tmp_path / "whole")


@pytest.mark.parametrize(("precision", "compiling"), [("f32", "off"), ("bf16", "off"), ("f32", "on"), ("bf16", "on")])
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(
    tiny_run, tmp_path: Path, precision: str, compiling: str
) -> None:
    settings = {"save_every": 3, "precision": precision, "compile": compiling, "evaluate_every": 10}
    job = {"steps": 150, "settings": settings}
    whole = run_to_the_end(tiny_run, tmp_path / "whole", job)
    delays = random.Random(0)
    for step in (30, 90):
        answer = tiny_run(tmp_path / "killed", **job, kill_after={"step": step, "seconds": delays.uniform(0, 0.05)})
        assert answer["signal"] == 9, "the run ended before it was killed"
    resumed = run_to_the_end(tiny_run, tmp_path / "killed", job)
    assert resumed["weights"] == whole["weights"]
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
