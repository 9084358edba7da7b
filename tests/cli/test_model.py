from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from paddock.model.checkpoint import load_reward_model, reward_model_from, save_reward_model


@pytest.mark.parametrize("repeats", [1, 40])
def test_perplexity_equals_transformers(paddock, tiny_model: Path, tmp_path: Path, repeats: int):
    from transformers import AutoTokenizer, LlamaForCausalLM

    text = "the cat sat on the mat; the dog ran far. Größe 12 🙂 " * repeats
    (tmp_path / "text.txt").write_text(text)
    found = json.loads(paddock("perplexity", tiny_model, tmp_path / "text.txt", "--json").out)
    model = LlamaForCausalLM.from_pretrained(tiny_model).eval()
    ids = AutoTokenizer.from_pretrained(tiny_model)(text, return_tensors="pt").input_ids
    losses = []
    for start in range(0, ids.shape[1] - 1, 64):
        window = ids[:, start : start + 65]
        with torch.no_grad():
            losses.append(
                torch.nn.functional.cross_entropy(model(window[:, :-1]).logits[0].float(), window[0, 1:], reduction="sum")
            )
    loss = sum(losses).item() / (ids.shape[1] - 1)
    assert found["tokens"] == ids.shape[1] - 1
    assert found["loss"] == pytest.approx(loss, abs=1e-4)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(loss * (ids.shape[1] - 1) / math.log(2) / len(text.encode()), rel=1e-5)


def test_perplexity_of_nothing_is_refused(paddock, tiny_model: Path, tmp_path: Path):
    (tmp_path / "empty.txt").write_text("")
    outcome = paddock("perplexity", tiny_model, tmp_path / "empty.txt")
    assert outcome.code == 2
    assert "empty.txt" in outcome.err


def test_inspect_counts_the_parameters_of_a_preset(paddock):
    found = json.loads(paddock("inspect", "70b", "--json").out)
    assert found["parameters"]["total"] == 68_976_648_192


def test_inspect_of_an_unknown_name_names_the_nearest(paddock):
    outcome = paddock("inspect", "70B")
    assert outcome.code == 2
    assert '"70b"' in outcome.err


def test_convert_narrows_a_reward_models_trunk_and_leaves_its_head_and_its_scale(paddock, tiny_model: Path, tmp_path: Path):
    before = reward_model_from(tiny_model, 3).build()
    before.mean, before.std = 0.7, 2.5
    save_reward_model(before, tmp_path / "reward")
    assert paddock("convert", tmp_path / "reward", "--out", tmp_path / "narrow", "--dtype", "bfloat16").code == 0
    after = load_reward_model(tmp_path / "narrow")
    assert (after.mean, after.std) == (0.7, 2.5)
    assert torch.equal(after.embedding.weight, before.embedding.weight.bfloat16())
    assert torch.equal(after.score.weight, before.score.weight)


def test_convert_writes_shards_that_hold_the_same_weights(paddock, tiny_model: Path, tmp_path: Path):
    from transformers import AutoModelForCausalLM

    out = tmp_path / "converted"
    found = json.loads(
        paddock("convert", tiny_model, "--out", out, "--dtype", "bfloat16", "--shard-gb", "0.001", "--json").out
    )
    assert "config.json" in found["files"]
    before, after = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (tiny_model, out))
    for ours, theirs in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(ours.bfloat16().float(), theirs)


def test_convert_leaves_a_folder_of_other_files_alone(paddock, tiny_model: Path, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    outcome = paddock("convert", tiny_model, "--out", tmp_path)
    assert outcome.code == 2
    assert "files of something else" in outcome.err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_convert_of_a_stages_folder_carries_its_tokenizer(paddock, tiny_model: Path, tmp_path: Path):
    shutil.copytree(tiny_model, tmp_path / "stage" / "model")
    (tmp_path / "stage" / "settings.json").write_text("{}")
    assert paddock("convert", tmp_path / "stage", "--out", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == (tiny_model / "tokenizer.model").read_bytes()
