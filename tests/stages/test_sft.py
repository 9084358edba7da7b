"""Supervised fine-tuning from dialogs to a chat model's folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from paddock.errors import DataError, SettingsError
from paddock.run_dir import StageDir
from paddock.settings import parse
from paddock.stages.sft import SftSettings, plan, run
from paddock.text.chat_format import encode_dialog
from paddock.text.packing import TokenStore
from paddock.text.readers import read_dialogs
from paddock.text.rows import dialog_of
from paddock.text.tokenizer import Tokenizer
from paddock.train import loop


def settings(values: dict, **changes: object) -> SftSettings:
    return parse(SftSettings, {**values, **changes}, "test")


@pytest.fixture(scope="module")
def tuned(sft_values: dict, tmp_path_factory: pytest.TempPathFactory) -> StageDir:
    stage_dir = StageDir(tmp_path_factory.mktemp("runs") / "sft")
    wanted = settings(sft_values)
    stage_dir.begin("sft", wanted.model_dump(mode="json"), {})
    stage_dir.complete(run(wanted, stage_dir))
    return stage_dir


def test_the_papers_settings_are_the_defaults(sft_values: dict) -> None:
    wanted = SftSettings(data=sft_values["data"], model=sft_values["model"])
    assert (wanted.epochs, wanted.batch_size, wanted.learning_rate, wanted.weight_decay) == (2.0, 64, 2e-5, 0.1)
    assert wanted.final_learning_rate == 0.1


def test_the_validation_loss_is_that_of_each_held_out_dialogs_answers_by_itself(tuned: StageDir) -> None:
    """transformers reads each dialog alone: so neither packing nor its neighbours change what a dialog is worth."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tuned.model)
    store = TokenStore.open(tuned.data / "validation")
    total, count = 0.0, 0
    for begin, end in zip(store.offsets[:-1], store.offsets[1:], strict=True):
        ids = torch.tensor(store.tokens[begin:end].astype("int64"))[None]
        mask = torch.tensor(store.loss_mask[begin:end])[1:]
        with torch.no_grad():
            logits = model(input_ids=ids[:, :-1]).logits[0]
        total += torch.nn.functional.cross_entropy(logits[mask], ids[0, 1:][mask], reduction="sum").item()
        count += int(mask.sum())
    assert tuned.read_results()["validation_loss"] == pytest.approx(total / count, abs=1e-5)


def test_what_was_encoded_is_the_dialogs_with_their_masks(tuned: StageDir, dialogs: Path) -> None:
    tokenizer = Tokenizer.load(tuned.model)
    expected = [encode_dialog(tokenizer, dialog) for dialog in read_dialogs([dialogs])]
    found = []
    for part in ("train", "validation"):
        store = TokenStore.open(tuned.data / part)
        for begin, end in zip(store.offsets[:-1], store.offsets[1:], strict=True):
            found.append((store.tokens[begin:end].tolist(), store.loss_mask[begin:end].tolist()))
    assert sorted(found) == sorted((list(ids), list(mask)) for ids, mask in expected)


def test_it_learns_to_answer(tuned: StageDir) -> None:
    rows = [json.loads(line) for line in tuned.metrics_file.read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["split"] == "train"]
    assert losses[-1] < losses[0] - 0.5


def test_samples_are_held_out_prompts_as_messages_with_an_answer(tuned: StageDir) -> None:
    rows = [json.loads(line) for line in tuned.samples_file.read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert row["prompt"][-1]["role"] == "user"
        assert isinstance(row["answer"], str)


def test_a_plan_is_what_a_run_then_does(sft_values: dict, tuned: StageDir) -> None:
    planned, results = plan(settings(sft_values)), tuned.read_results()
    assert planned["rows"] == results["data"]["train"]["sequences"]
    assert planned["loss_tokens"] == results["data"]["train"]["loss_tokens"] == results["tokens"]
    assert planned["steps"] == results["steps"]


def test_the_weights_kept_are_those_of_the_lowest_validation_loss(tuned: StageDir) -> None:
    rows = [json.loads(line) for line in tuned.metrics_file.read_text().splitlines()]
    losses = {row["step"]: row["loss"] for row in rows if row["split"] == "validation"}
    assert tuned.read_results()["kept_step"] == min(losses, key=losses.get)


def test_an_overlong_dialog_stops_the_run_with_its_row_before_anything_trains(
    sft_values: dict, dialogs: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.load(Path(sft_values["model"]))
    lengths = [len(encode_dialog(tokenizer, dialog).ids) for dialog in read_dialogs([dialogs])]
    longest = max(lengths)
    where = f"{dialogs}:{lengths.index(longest) + 1}: the dialog has {longest} tokens, and {longest - 1} is the most"
    stage_dir = StageDir(tmp_path / "refused")
    with pytest.raises(DataError, match=re.escape(where)):
        run(settings(sft_values, context=longest - 2), stage_dir)
    assert not stage_dir.metrics_file.exists()
    assert not stage_dir.model.exists()


def test_the_longest_dialog_fits_where_it_fills_the_context(sft_values: dict, tuned: StageDir) -> None:
    longest = max(tuned.read_results()["data"][part]["longest"] for part in ("train", "validation"))
    assert plan(settings(sft_values, context=longest - 1))["rows"] > 0


def test_a_plan_refuses_what_the_run_would(sft_values: dict) -> None:
    with pytest.raises(DataError, match=r"is the most at context 32.*overlong: truncate"):
        plan(settings(sft_values, context=32))


def test_overlong_dialogs_are_truncated_and_counted_where_asked(sft_values: dict, tmp_path: Path) -> None:
    results = run(settings(sft_values, context=64, overlong="truncate", samples=0), StageDir(tmp_path))
    assert results["data"]["truncated"] + results["data"]["left_out"] > 0


def test_a_dialog_whose_last_answer_straddles_the_context_is_left_out_where_that_alone_bears_loss(
    sft_values: dict, tmp_path: Path, capsys
) -> None:
    """Truncated, it would teach the beginning of an answer; one whose every answer bears loss is truncated."""
    tokenizer = Tokenizer.load(Path(sft_values["model"]))
    turn = [{"role": "user", "content": "What does Anna like?"}, {"role": "assistant", "content": "Anna likes apples."}]
    straddling = {"messages": [*turn, *turn], "loss": "last"}
    length = len(encode_dialog(tokenizer, dialog_of(straddling)).ids)
    last = len(tokenizer.encode("Anna likes apples. ", eos=True))
    for straddles in (1, last - 1):
        folder = tmp_path / str(straddles)
        folder.mkdir()
        rows = [straddling, {"messages": [*turn, *turn]}, {"messages": turn, "loss": "last"}]
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        changes = {"data": [str(folder / "data.jsonl")], "validation_share": 0, "keep": "last", "samples": 0}
        wanted = settings(sft_values, context=length - 1 - straddles, overlong="truncate", **changes)
        results = run(wanted, StageDir(folder / "sft"))
        assert (results["data"]["left_out"], results["data"]["truncated"]) == (1, 1)
        assert results["tokens"] == (2 * last - straddles) + last  # the truncated one's two answers, and the short one's
        assert "1 dialogs bear no loss within" in capsys.readouterr().err


def test_a_row_longer_than_the_models_context_is_refused(sft_values: dict) -> None:
    with pytest.raises(SettingsError, match="context 161 is more than the model's 160"):
        plan(settings(sft_values, context=161))


def test_every_setting_says_what_it_is() -> None:
    for name, field in SftSettings.model_fields.items():
        assert field.description, name


def test_settings_that_need_no_rerun_change_no_bit_of_the_weights(sft_values: dict, tuned: StageDir, tmp_path: Path) -> None:
    changed = {"log_every": 1, "save_every": 3, "keep_saves": 1, "watts": 50, "samples": 1}
    assert SftSettings.may_change | SftSettings.passing == {*changed, "tensorboard"}
    stage_dir = StageDir(tmp_path)
    run(settings(sft_values, **changed), stage_dir)
    for file in tuned.model.iterdir():
        assert (stage_dir.model / file.name).read_bytes() == file.read_bytes(), file.name


def test_other_samples_and_another_power_need_no_training(
    sft_values: dict, tuned: StageDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tuned.path, tmp_path / "sft")
    monkeypatch.setattr(loop, "train_step", None)  # which nothing calls
    results = run(settings(sft_values, watts=123, samples=1), StageDir(tmp_path / "sft"))
    assert results["energy"]["watts"] == 123
    assert len((tmp_path / "sft" / "samples.jsonl").read_text().splitlines()) == 1
    for name in ("steps", "kept_step", "train_loss", "validation_loss"):
        assert results[name] == tuned.read_results()[name], name
    for file in tuned.model.iterdir():
        assert (tmp_path / "sft" / "model" / file.name).read_bytes() == file.read_bytes(), file.name
