"""Several processes learn what one does. `torchrun` starts them, over gloo."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from paddock.errors import CheckpointError, SettingsError
from paddock.model.blueprint import fresh_model
from paddock.model.checkpoint import reward_model_from, save_model, save_reward_model
from paddock.model.config import ModelConfig
from paddock.text.chat_format import Encoded
from paddock.text.packing import TokenStore
from paddock.train.loop import prepare
from paddock.train.parallel import Ranks
from paddock.train.settings import TrainingSettings

TRAIN, BUILD = (Path(__file__).with_name(name) for name in ("parallel_run.py", "parallel_build.py"))
STEPS = 6


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train_alone(folder: Path, job: dict) -> None:
    script(TRAIN).main(folder, job)


def train_together(folder: Path, job: dict) -> subprocess.CompletedProcess[str]:
    return together(TRAIN, folder, job)


def together(path: Path, folder: Path, job: dict) -> subprocess.CompletedProcess[str]:
    words = ["--standalone", "--nproc-per-node", "2", str(path), str(folder), json.dumps(job)]
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


def test_two_processes_train_a_reward_model_as_one_does(job: dict, tmp_path: Path) -> None:
    save_model(fresh_model(script(TRAIN).CONFIG, seed=1).build(), tmp_path / "chat")
    job = {**job, "chat": str(tmp_path / "chat")}
    train_alone(tmp_path / "one", job)
    answer = train_together(tmp_path / "two", job)
    assert answer.returncode == 0, answer.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


# --- models that are divided before they have weights ---

# Embedding, down-projection and a reward's head do not divide evenly; a cut goes through queries, keys, gate and up.
SHAPE = {"vocab_size": 71, "dim": 24, "n_layers": 2, "n_heads": 4, "ffn_dim": 41, "context_length": 16}
SHAPES = {
    f"{kind}_{head}": {**SHAPE, "n_kv_heads": heads, "tie_embeddings": head == "tied"}
    for kind, heads in (("mha", 4), ("gqa", 2), ("mqa", 1))
    for head in ("tied", "untied")
}
FRESH, LOADED = [f"fresh_{name}" for name in SHAPES], [f"loaded_{name}" for name in SHAPES]
SCALAR = ["reward", "reward_bf16", "value_of_reward", "value_of_chat"]


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """How to make each of the models."""
    folder = tmp_path_factory.mktemp("models")
    for seed, (name, shape) in enumerate(SHAPES.items()):
        save_model(fresh_model(ModelConfig(**shape), seed).build(), folder / name, max_shard_bytes=10_000)
    chat = str(folder / "gqa_untied")
    reward_model = reward_model_from(chat, seed=2).build()
    reward_model.mean, reward_model.std = 0.5, 2.0
    save_reward_model(reward_model, folder / "reward")
    return {
        **{f"fresh_{name}": ["fresh", shape, "f32"] for name, shape in SHAPES.items()},
        **{f"loaded_{name}": ["loaded", str(folder / name), "f32"] for name in SHAPES},
        "reward": ["reward", chat, "f32"],
        "reward_bf16": ["reward", chat, "bf16"],
        "value_of_reward": ["value", str(folder / "reward"), "f32"],
        "value_of_chat": ["value", chat, "f32"],
    }


@pytest.fixture(scope="module")
def built(recipes: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes built."""
    folder = tmp_path_factory.mktemp("built")
    answer = together(BUILD, folder, recipes)
    assert answer.returncode == 0, answer.stderr
    return folder


def seen(built: Path, name: str) -> list[dict]:
    return [json.loads((built / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", FRESH + LOADED + SCALAR)
def test_two_processes_begin_with_the_bits_of_one(recipes: dict, built: Path, name: str) -> None:
    found = load_file(built / f"{name}.safetensors")
    expected = script(BUILD).blueprint_of(*recipes[name][:2]).build().state_dict()
    assert found.keys() - {"output"} == expected.keys()
    for key, weights in expected.items():
        assert torch.equal(found[key], weights), key


@pytest.mark.parametrize("name", [name for name in FRESH + LOADED + SCALAR if "bf16" not in name])
def test_a_divided_model_gives_what_a_whole_one_does(recipes: dict, built: Path, name: str) -> None:
    module = script(BUILD)
    with torch.no_grad():
        expected = module.blueprint_of(*recipes[name][:2]).build()(module.IDS)
    torch.testing.assert_close(load_file(built / f"{name}.safetensors")["output"], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", LOADED + SCALAR)
def test_each_process_reads_its_rows_alone_and_makes_no_whole_matrix(recipes: dict, built: Path, name: str) -> None:
    parameters = dict(script(BUILD).blueprint_of(*recipes[name][:2]).model.named_parameters())
    head_is_fresh = name in ("reward", "reward_bf16", "value_of_chat")
    fresh = {"value.bias", *(("score.weight", "value.weight") if head_is_fresh else ())}
    stored = [p for key, p in parameters.items() if key not in fresh]
    largest_part = max(-(-p.shape[0] // 2) * p[0].numel() for p in parameters.values())
    both = seen(built, name)
    assert sum(one["read"] for one in both) == sum(p.numel() for p in stored)
    for one in both:
        assert 0 < one["largest_read"] <= largest_part
        assert 0 < one["largest_made"] <= largest_part


@pytest.mark.parametrize("name", FRESH + LOADED)
def test_a_tied_head_is_tied_once_there_are_weights(built: Path, name: str) -> None:
    assert [one["tied"] for one in seen(built, name)] == [name.endswith("_tied")] * 2


def test_the_first_process_alone_gathers_the_whole(built: Path) -> None:
    first, second = seen(built, "reward")
    assert first["gathered"] > 0
    assert second["gathered"] == 0


def test_a_scalar_head_is_float32_where_the_divided_trunk_is_not(built: Path) -> None:
    for one in seen(built, "reward_bf16"):
        assert one["dtypes"] == {"score": "torch.float32", "blocks.0.attention.qkv": "torch.bfloat16"}


def test_a_whole_model_is_not_trained_by_several_processes() -> None:
    model = fresh_model(ModelConfig(**SHAPES["gqa_tied"]), seed=0).build()
    with pytest.raises(AssertionError, match="a model of its own"):
        prepare(model, TrainingSettings(batch_size=2, learning_rate=1e-3), Ranks(0, 2, torch.device("cpu")), tokens=0)
