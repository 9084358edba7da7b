"""A stage killed at a file operation, also while it writes its data or its model, ends as if it had not been.

To kill at every operation of every stage would take an hour, so each stage is killed at one of several: its stride. The rest
come with `--kill-offset N`, which shifts them by N: from 0 up to the longest stride, less one, none is left out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paddock.run_dir import StageDir, read_json_lines

TIMED = re.compile("seconds|device_hours|energy|.*_per_second")
SAVES = {"samples": 1, "log_every": 8, "save_every": 8, "evaluate_every": 8, "keep_saves": 1}
CASES = {  # stage -> (its stride, what is changed of its settings)
    "pretrain": (3, SAVES),
    "sft": (7, SAVES),
    "reward": (23, {"log_every": 1, "save_every": 2, "evaluate_every": 2, "keep_saves": 1}),
    "preferences": (3, {}),
    "rejection": (11, SAVES),
    "ppo": (9, {**SAVES, "log_every": 1, "save_every": 2, "evaluate_every": 2}),
    "rlhf": (53, {}),
    "ghost-attention": (3, {}),
    "consistency": (3, {}),
    "context-distillation": (7, {}),
    "safety-scaling": (97, {"shares": [0, 1]}),
    "red-team": (7, {}),
}


@pytest.fixture
def reward_values(first_preferences: Path, pretrained: StageDir) -> dict:
    return {
        "data": [str(first_preferences)],
        "model": str(pretrained.model),
        "batch_size": 8,
        "learning_rate": 1e-3,
        "precision": "f32",
        "compile": "off",
        "validation_share": 0.2,
        "overlong": "skip",
    }


@pytest.fixture
def preferences_values(world: Path, pretrained: StageDir) -> dict:
    return {
        "data": [str(world / "prompts_train.jsonl")],
        "model": str(pretrained.model),
        "annotators": str(world),
        "comparisons": 12,
        "max_new_tokens": 8,
        "held_out_share": 0.3,
    }


@pytest.fixture
def red_team_values(tmp_path: Path, tuned: StageDir, reward_folders: dict[str, Path]) -> dict:
    log, start, end = tmp_path / "log.jsonl", "2026-01-05T09:00", "2026-01-05T10:00"
    common = {"session": "s", "person": "ann", "start": start, "end": end, "model": "v1", "completion": "Yes.", "votes": [1]}
    log.write_text("".join(json.dumps({**common, "prompt": f"Ben has {n} cats."}) + "\n" for n in range(70)))
    return {
        "data": [str(log)],
        "model": str(tuned.model),
        "judge": str(reward_folders["safety"]),
        "max_new_tokens": 8,
    }


@pytest.fixture(scope="module")
def run_stage() -> Iterator[Callable[..., dict]]:
    """`run_stage(kind, values, out, kill_at)`: what `killed_stage.py` answers."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("killed_stage.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def run(kind: str, values: dict, out: Path, kill_at: int | None = None) -> dict:
        process.stdin.write(json.dumps({"kind": kind, "values": values, "out": str(out), "kill_at": kill_at}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(timeout=30)


def timeless(value: Any) -> Any:
    """A JSON value without what depends on the clock."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if not TIMED.match(key)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def content_of(file: Path) -> Any:
    if file.suffix == ".jsonl":
        return timeless(read_json_lines(file))
    return timeless(json.loads(file.read_text())) if file.suffix == ".json" else file.read_bytes()


def outcome(stage: Path) -> dict[str, Any]:
    """The content of all that a complete stage leaves, but for saves, hidden files, and what depends on the clock."""
    files = {file.relative_to(stage): file for file in stage.rglob("*") if file.is_file()}
    lasting = {name: file for name, file in files.items() if "checkpoints" not in name.parts and "/." not in f"/{name}"}
    assert {Path("stage.json"), Path("results.json")} < lasting.keys()
    return {str(name): content_of(file) for name, file in lasting.items()}


@pytest.mark.parametrize("kind", CASES)
def test_a_stage_killed_at_a_file_operation_ends_the_same(
    kind: str, request: pytest.FixtureRequest, run_stage: Callable[..., dict], tmp_path: Path
) -> None:
    every, changes = CASES[kind]
    values = {**request.getfixturevalue(f"{kind.replace('-', '_')}_values"), **changes}
    whole = run_stage(kind, values, tmp_path / "whole" / kind)
    expected = outcome(tmp_path / "whole" / kind)
    first = 1 + request.config.getoption("--kill-offset") % every
    for operation in range(first, whole["operations"] + 1, every):
        folder = tmp_path / str(operation) / kind
        assert run_stage(kind, values, folder, operation)["killed"]
        assert not (folder / "stage.json").exists() or operation > whole["operations"] - 3
        assert not run_stage(kind, values, folder)["killed"]
        assert outcome(folder) == expected, f"killed before file operation {operation}"
