"""A stage killed at any of its file operations, also while it writes its data or its model, ends as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TIMED = {"seconds", "tokens_per_second", "device_hours", "energy"}
SAVES = {"samples": 1, "log_every": 8, "save_every": 8, "evaluate_every": 8, "keep_saves": 1}
CASES = {  # stage -> (it is killed at one of so many file operations, what is changed of its settings)
    "pretrain": (3, SAVES),
    "sft": (7, SAVES),
    "rejection": (11, SAVES),
    "ppo": (9, {**SAVES, "save_every": 2, "evaluate_every": 2}),
    "rlhf": (53, {}),
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


def outcome(stage: Path) -> dict:
    """Everything that a complete stage leaves for others, without what depends on the clock."""
    results = json.loads((stage / "results.json").read_text())
    files = sorted(path for path in (stage / "model").iterdir())
    return {
        "complete": (stage / "stage.json").read_text(),
        "results": {key: value for key, value in results.items() if key not in TIMED},
        "model": {path.name: path.read_bytes() for path in files},
        "rows": {path.name: path.read_text() for path in stage.glob("*.jsonl") if path.name != "metrics.jsonl"},
    }


@pytest.mark.parametrize("kind", CASES)
def test_a_stage_killed_at_any_file_operation_ends_the_same(
    kind: str, request: pytest.FixtureRequest, run_stage: Callable[..., dict], tmp_path: Path
) -> None:
    every, changes = CASES[kind]
    values = {**request.getfixturevalue(f"{kind}_values"), **changes}
    whole = run_stage(kind, values, tmp_path / "whole")
    expected = outcome(tmp_path / "whole")
    for operation in range(1, whole["operations"] + 1, every):
        folder = tmp_path / str(operation)
        assert run_stage(kind, values, folder, operation)["killed"]
        assert not (folder / "stage.json").exists() or operation > whole["operations"] - 3
        assert not run_stage(kind, values, folder)["killed"]
        assert outcome(folder) == expected, f"killed before file operation {operation}"
