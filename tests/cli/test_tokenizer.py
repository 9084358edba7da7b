from __future__ import annotations

import json
from pathlib import Path

from paddock.text.chat_format import encode_dialog, encode_prompt
from paddock.text.readers import read_dialogs, read_prompts
from paddock.text.tokenizer import Tokenizer


def test_show_prints_ids_and_loss_mask_a_dialog(paddock, tiny_model: Path, dialogs: Path):
    outcome = paddock("tokenizer", "show", "--model", tiny_model, "--data", dialogs, "--json")
    finished, prompt = map(json.loads, outcome.out.splitlines())
    tokenizer = Tokenizer.load(tiny_model)
    expected = encode_dialog(tokenizer, next(read_dialogs([f"{dialogs}"])))
    assert finished == {"ids": list(expected.ids), "loss_mask": [int(bears) for bears in expected.loss_mask]}
    last = list(read_prompts([f"{dialogs}"]))[1]
    assert prompt == {"ids": encode_prompt(tokenizer, last), "loss_mask": [0] * len(prompt["ids"])}


def test_show_marks_what_bears_loss_without_colours_too(paddock, tiny_model: Path, dialogs: Path):
    outcome = paddock("tokenizer", "show", "--model", tiny_model, "--data", dialogs)
    assert "{</s>}" in outcome.out
    assert "{<s>}" not in outcome.out


def test_train_writes_a_tokenizer_that_show_opens(paddock, tmp_path: Path, dialogs: Path):
    out = tmp_path / "tokenizer"
    trained = paddock(
        "tokenizer", "train", "--data", dialogs.parent / "*.txt", "--out", out, "--set", "vocab_size=270", "--json"
    )
    assert trained.code == 2  # there is no text yet
    (tmp_path / "words.txt").write_text("the cat sat on the mat and the dog ran far away\n\n" * 50)
    trained = paddock(
        "tokenizer", "train", "--data", tmp_path / "words.txt", "--out", out, "--set", "vocab_size=280", "--json"
    )
    assert json.loads(trained.out)["vocab_size"] == 280
    assert paddock("tokenizer", "show", "--model", out, "--data", dialogs, "--json").code == 0


def test_a_dry_run_writes_nothing(paddock, tmp_path: Path):
    (tmp_path / "words.txt").write_text("some words\n")
    outcome = paddock("tokenizer", "train", "--data", tmp_path / "words.txt", "--out", tmp_path / "t", "--dry-run", "--json")
    assert json.loads(outcome.out)["rows"] == 1
    assert not (tmp_path / "t").exists()
