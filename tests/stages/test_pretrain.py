"""Pretraining from documents to a model's folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import transformers

from paddock.errors import CheckpointError, SettingsError
from paddock.model.checkpoint import load_model, read_config, save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages.pretrain import PretrainSettings, plan, run
from paddock.text.packing import DocumentWindows, TokenStore
from paddock.text.tokenizer import Tokenizer


def settings(values: dict, **changes: object) -> PretrainSettings:
    return parse(PretrainSettings, {**values, **changes}, "test")


def metrics(stage_dir: StageDir) -> list[dict]:
    return [json.loads(line) for line in stage_dir.metrics_file.read_text().splitlines()]


def test_the_model_is_of_the_shape_asked_for_with_the_tokenizers_vocabulary(pretrained: StageDir) -> None:
    config = read_config(pretrained.model)
    assert (config.dim, config.n_layers, config.context_length, config.vocab_size) == (32, 2, 160, 320)


def test_transformers_opens_the_result_and_finds_the_validation_loss(pretrained: StageDir) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(pretrained.model)
    store = TokenStore.open(pretrained.data / "validation")
    windows = DocumentWindows(store, 8, 32, seed=0)
    total = 0.0
    for step in range(windows.steps_per_epoch):
        batch = windows.batch(step)
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(batch.token_ids)).logits
        mask = torch.from_numpy(batch.loss_mask)
        targets = torch.from_numpy(batch.targets)
        total += torch.nn.functional.cross_entropy(logits[mask], targets[mask], reduction="sum").item()
    results = pretrained.read_results()
    assert results["validation_loss"] == pytest.approx(total / windows.tokens_per_epoch, abs=1e-5)
    assert results["perplexity"] == pytest.approx(math.exp(results["validation_loss"]))


def test_it_learns(pretrained: StageDir) -> None:
    losses = [row["loss"] for row in metrics(pretrained) if row["split"] == "validation"]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < math.log(320) - 0.5


def test_the_tokenizer_stands_beside_the_model(pretrained: StageDir, tokenizer: Path) -> None:
    ours = transformers.AutoTokenizer.from_pretrained(pretrained.model)
    assert (pretrained.model / "tokenizer.model").read_bytes() == (tokenizer / "tokenizer.model").read_bytes()
    assert ours("Anna has 12 cats.")["input_ids"][0] == ours.bos_token_id


def test_samples_continue_held_out_documents(pretrained: StageDir, documents: Path) -> None:
    texts = [json.loads(line)["text"] for line in documents.read_text().splitlines()]
    rows = [json.loads(line) for line in pretrained.samples_file.read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert any(text.startswith(row["prompt"]) for text in texts)
        assert isinstance(row["answer"], str)


def test_figures_of_the_run_are_in_the_results(pretrained: StageDir) -> None:
    results = pretrained.read_results()
    assert results["steps"] == 12
    assert results["data"]["rows"] == 120
    counted = results["data"]["train"]["sequences"] + results["data"]["validation"]["sequences"]
    assert counted == 120
    assert results["energy"]["tco2eq"] > 0
    assert results["device_hours"] == pytest.approx(results["seconds"] / 3600)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    pretrain_values: dict, pretrained: StageDir, tmp_path: Path
) -> None:
    for seed, same in ((0, True), (1, False)):
        stage_dir = StageDir(tmp_path / str(seed))
        run(settings(pretrain_values, seed=seed, samples=0), stage_dir)
        weights = (stage_dir.model / "model.safetensors").read_bytes()
        assert (weights == (pretrained.model / "model.safetensors").read_bytes()) is same


def test_a_plan_is_what_a_run_then_does(pretrain_values: dict, pretrained: StageDir) -> None:
    planned, results = plan(settings(pretrain_values)), pretrained.read_results()
    assert planned["counted"] == "exactly"
    assert planned["rows"] == results["data"]["train"]["sequences"]
    assert planned["tokens"] == results["data"]["train"]["tokens"]
    assert planned["steps"] == results["steps"]
    assert planned["parameters"] == sum(p.numel() for p in load_model(pretrained.model).parameters())


def test_a_plan_of_a_large_corpus_is_an_estimate_and_says_so(pretrain_values: dict, monkeypatch) -> None:
    exact = plan(settings(pretrain_values))
    monkeypatch.setattr("paddock.text.sample.SAMPLE_ROWS", 40)
    estimate = plan(settings(pretrain_values))
    assert estimate["counted"].startswith("estimated from the first 40 rows")
    assert estimate["tokens"] == pytest.approx(exact["tokens"], rel=0.25)


@pytest.mark.parametrize(("changes", "steps"), [({"steps": 7}, 7), ({"epochs": 2.5}, 25), ({"tokens": 3_000}, 30), ({}, 10)])
def test_length_is_by_steps_epochs_or_tokens(pretrain_values: dict, changes: dict, steps: int) -> None:
    from paddock.stages.pretrain import steps_of

    values = {key: value for key, value in pretrain_values.items() if key != "steps"}
    assert steps_of(settings(values, **changes), steps_per_epoch=10, tokens_per_epoch=1_000) == steps


def test_training_goes_on_from_a_models_folder(pretrain_values: dict, pretrained: StageDir, tmp_path: Path) -> None:
    values = {key: value for key, value in pretrain_values.items() if key not in {"shape", "tokenizer"}}
    stage_dir = StageDir(tmp_path)
    run(settings(values, model=str(pretrained.model), steps=1, learning_rate=1e-6, samples=0), stage_dir)
    assert metrics(stage_dir)[0]["loss"] < math.log(320) - 0.5
    for old, new in zip(load_model(pretrained.model).parameters(), load_model(stage_dir.model).parameters(), strict=True):
        torch.testing.assert_close(new, old, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epoch": 2}, r'unknown setting "epoch"\. Did you mean "epochs"\?'),
        ({"epochs": 2}, "epochs and steps both say how long to train: give one"),
        ({"tokenizer": None}, "a new model needs a tokenizer"),
        ({"shape": {"dims": 64}}, r'shape has no field "dims"\. Did you mean "dim"\?'),
        ({"shape": {"vocab_size": 64}}, 'shape has no field "vocab_size"'),
        ({"shape": {"dim": 30}}, "must give an even head size"),
        ({"model": "somewhere"}, "the model is a folder with a shape of its own"),
        ({"validation_share": 0, "keep": "best"}, "keep: best judges by validation data"),
        ({"patience": 3}, "patience waits for a better step, so it needs keep: best"),
        ({"learning_rate": 0}, "learning_rate is 0: input should be greater than 0"),
        ({"data": []}, "data is"),
    ],
)
def test_impossible_settings_are_refused_by_name(pretrain_values: dict, changes: dict, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        settings(pretrain_values, **changes)


def test_a_row_longer_than_the_models_context_is_refused(pretrain_values: dict) -> None:
    with pytest.raises(SettingsError, match="context 161 is more than the model's 160"):
        plan(settings(pretrain_values, context=161))


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(
    pretrain_values: dict, pretrained: StageDir, real_data: Path
) -> None:
    values = {key: value for key, value in pretrain_values.items() if key != "shape"}
    with pytest.raises(CheckpointError, match="the tokenizer has 32,000 ids, and the model 320"):
        plan(settings(values, model=str(pretrained.model), tokenizer=str(real_data / "llama2c")))


def test_training_goes_on_from_a_model_with_more_rows_than_its_tokenizer_has_ids(
    pretrain_values: dict, tokenizer: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    wide = Transformer(ModelConfig(vocab_size=384, dim=32, n_layers=1, n_heads=2, n_kv_heads=1, ffn_dim=48))
    save_model(wide, tmp_path / "wide", Tokenizer.load(tokenizer))
    values = {key: value for key, value in pretrain_values.items() if key not in {"shape", "tokenizer"}}
    assert plan(settings(values, model=str(tmp_path / "wide")))["parameters"] == sum(p.numel() for p in wide.parameters())


def test_every_setting_says_what_it_is() -> None:
    for name, field in PretrainSettings.model_fields.items():
        assert field.description, name
