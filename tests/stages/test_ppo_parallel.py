"""PPO by several processes is PPO by one, where the replies are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from paddock.model.checkpoint import load_model
from paddock.run_dir import StageDir
from paddock.stages.held_out import read_replies

ALONE = [sys.executable]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def outcomes(ppo_values: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What three iterations and an evaluation left, by one process and by two.

    A mini-batch is a batch here, for smaller ones would hold other replies.
    """
    folder = tmp_path_factory.mktemp("parallel")
    values = {**ppo_values, "mini_batch_size": ppo_values["batch_size"], "epochs": 2, "learning_rate": 3e-3}
    (folder / "settings.json").write_text(json.dumps({**values, "validation_share": 0.15}))
    script = [str(Path(__file__).with_name("parallel_ppo.py")), str(folder / "settings.json")]
    for name, command in (("one", ALONE), ("two", TOGETHER)):
        words = [*command, *script, str(folder / name)]
        subprocess.run(words, check=True, capture_output=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return {name: folder / name for name in ("one", "two")}


def test_two_processes_iterate_as_one(outcomes: dict[str, Path]) -> None:
    one, two = (json.loads((folder / "figures.json").read_text()) for folder in outcomes.values())
    assert [row["policy_loss"] is None for row in one] == [True, False, False]
    for alone, shared in zip(one, two, strict=True):
        assert shared["tokens"] == alone["tokens"]
        known = {name: x for name, x in alone.items() if x is not None and not name.startswith("seconds_")}
        assert {name: shared[name] for name in known} == pytest.approx(known, rel=1e-3, abs=1e-4)


def test_two_processes_end_with_the_weights_of_one(outcomes: dict[str, Path], ppo_values: dict) -> None:
    one, two = (load_file(folder / "weights.safetensors") for folder in outcomes.values())
    before = load_model(ppo_values["model"]).state_dict()
    moved = {name for name in before if not torch.equal(one[f"policy.{name}"], before[name])}
    assert moved == before.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-3, msg=name)


def test_two_processes_evaluate_as_one_also_an_odd_number_of_prompts(outcomes: dict[str, Path]) -> None:
    one, two = (read_replies(StageDir(folder), 3) for folder in outcomes.values())
    assert len(one) % 2
    assert [row["id"] for row in two] == [row["id"] for row in one]
    assert max(abs(row["kl"]) for row in one) > 0.1
    for alone, shared in zip(one, two, strict=True):
        assert shared["answer"] == alone["answer"]
        assert shared["kl"] == pytest.approx(alone["kl"], abs=1e-2)
        assert shared["reward"] == pytest.approx(alone["reward"], abs=1e-4)
