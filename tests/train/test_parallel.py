"""Several processes learn what one does. `torchrun` starts them, over gloo."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from paddock.errors import CheckpointError, SettingsError
from paddock.text.chat_format import Encoded
from paddock.text.packing import TokenStore
from paddock.train.parallel import Ranks

SCRIPT = Path(__file__).with_name("parallel_run.py")
STEPS = 6


def train_alone(folder: Path, job: dict) -> None:
    spec = importlib.util.spec_from_file_location("parallel_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(folder, job)


def train_together(folder: Path, job: dict) -> subprocess.CompletedProcess[str]:
    words = ["--standalone", "--nproc-per-node", "2", str(SCRIPT), str(folder), json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", *words]
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=300)


def losses(folder: Path) -> dict[tuple[str, int], float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(row["split"], row["step"]): row["loss"] for row in rows}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Dialogs of unequal lengths, of which unequal shares bear loss: a mean over ranks' means would show."""
    store = tmp_path_factory.mktemp("dialogs") / "store"
    random = np.random.default_rng(0)

    def dialog() -> Encoded:
        length = int(random.integers(4, 17))
        bears_loss = random.random(length) < 0.4
        bears_loss[2] = True
        return Encoded(random.integers(3, 64, length).tolist(), bears_loss.tolist())

    TokenStore.write(store, (dialog() for _ in range(60)), 64)
    return {"store": str(store), "steps": STEPS, "settings": {"evaluate_every": 2, "save_every": 3}}


@pytest.fixture(scope="module")
def one(job: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    train_alone(folder, job)
    return folder


@pytest.fixture(scope="module")
def two(job: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    answer = train_together(folder, job)
    assert answer.returncode == 0, answer.stderr
    return folder


def test_two_processes_have_the_losses_of_one(one: Path, two: Path) -> None:
    alone, together = losses(one), losses(two)
    assert len(alone) == STEPS + 3
    assert together == pytest.approx(alone, abs=1e-5)


def test_two_processes_end_with_the_weights_of_one(one: Path, two: Path) -> None:
    alone, together = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert alone.keys() == together.keys()
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, atol=1e-5, rtol=1e-4)


def test_two_processes_go_on_from_a_save_to_the_same_bits(job: dict, two: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    shutil.copytree(two / "checkpoints/step-00000003", folder / "checkpoints/step-00000003")
    shutil.copy(two / "metrics.jsonl", folder)
    answer = train_together(folder, job)
    assert answer.returncode == 0, answer.stderr
    assert "goes on from step 3" in answer.stderr
    assert (folder / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes()
    assert losses(folder) == losses(two)


def test_another_number_of_processes_is_refused_with_the_right_command(job: dict, two: Path) -> None:
    with pytest.raises(CheckpointError, match=r"was made by 2 processes, and this run has 1.*torchrun --nproc-per-node 2"):
        train_alone(two, job)


def test_two_processes_in_bf16_with_micro_batches_and_checkpointing_learn_as_one_does(job: dict, tmp_path: Path) -> None:
    changes = {"precision": "bf16", "micro_batch_size": 1, "activation_checkpointing": True}
    job = {**job, "settings": {**job["settings"], **changes}}
    train_alone(tmp_path / "one", job)
    answer = train_together(tmp_path / "two", job)
    assert answer.returncode == 0, answer.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=0.02)


def test_rows_that_do_not_divide_among_the_processes_are_refused() -> None:
    ranks = Ranks(1, 3, torch.device("cpu"))
    assert list(ranks.share(6)) == [2, 3]
    with pytest.raises(SettingsError, match="batch_size 4 must be a multiple of the number of processes, 3"):
        ranks.share(4)
