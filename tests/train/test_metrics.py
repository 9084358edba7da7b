"""metrics.jsonl: appended to, and cut back when a run goes on from a save."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddock.train.metrics import MetricsLog


def row(step: int) -> dict:
    return {"step": step, "split": "train", "loss": 1.0 / step}


def test_rows_after_the_save_that_a_run_goes_on_from_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, 0, 0, tensorboard=False) as log:
        log.append(row(1))
        position = log.sync()
        log.append(row(2))
    with MetricsLog(path, position, 1, tensorboard=False) as log:
        log.append(row(3))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 3]


def test_a_fresh_run_begins_with_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("what a killed run left before its first save\n")
    with MetricsLog(path, 0, 0, tensorboard=False):
        pass
    assert path.read_text() == ""


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "metrics.jsonl", 0, 0, tensorboard=True, active=False) as log:
        log.append(row(1))
        assert log.sync() == 0
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_the_same_figures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with MetricsLog(tmp_path / "metrics.jsonl", 0, 0, tensorboard=True) as log:
        for step in (1, 2):
            log.append(row(step))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5)]
