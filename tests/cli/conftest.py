"""A tiny model, and the command line in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from paddock.cli.main import main
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.text.tokenizer import train_tokenizer


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = train_tokenizer([f"the cat sat on mat {n} and the dog ran far" for n in range(100)], 300)
    torch.manual_seed(0)
    save_model(Transformer(ModelConfig(300, 32, 2, 4, 2, 64, context_length=64)), folder, tokenizer)
    return folder


@pytest.fixture
def paddock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `paddock WORDS...`: its exit code, standard output and standard error."""

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["paddock", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def dialogs(tmp_path: Path) -> Path:
    file = tmp_path / "dialogs.jsonl"
    turns = [("user", "where is the cat"), ("assistant", "on the mat"), ("user", "and the dog"), ("assistant", "far")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    file.write_text(json.dumps(row) + "\n" + json.dumps({"messages": row["messages"][:3]}) + "\n")
    return file
