"""Trains a tiny model in forked children that can be killed at any moment, and pays for importing torch only once.

Reads a JSON object a line on stdin:
    folder    the stage's folder; what it holds is resumed
    store     a TokenStore of documents
    settings  of TrainingSettings, beside those below
    steps     how many
    kill_at   die of SIGKILL before this file operation of the run (counted from 1), or null
    kill_after  {"step": ..., "seconds": ...}: the parent kills the child so long after it saved this step, or null
    poison    a step in which one row's loss is infinite, or null
    file_limit  bytes that a file may have (RLIMIT_FSIZE), or null
Answers with one: {"signal": 9 or 0, "operations": counted, "weights": a digest, "results": {...}, "error": "type: text"}.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import safetensors.torch
import torch
import torch._dynamo
import torch._inductor.compile_fx  # the optimizer and compiling import these: once is enough

import paddock.train.loop as loop
import paddock.train.state as state
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir
from paddock.text.packing import DocumentWindows, TokenStore
from paddock.train.parallel import processes
from paddock.train.settings import TrainingSettings

CONFIG = ModelConfig(vocab_size=64, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=48, context_length=16)
DEFAULTS = {
    "batch_size": 4,
    "learning_rate": 3e-3,
    "precision": "f32",
    "compile": "off",
    "log_every": 2,
    "evaluate_every": 3,
}


def count_operations(kill_at: int | None) -> itertools.count:
    """Count the operations that change files, and die before the one numbered `kill_at`."""
    counter = itertools.count(1)

    def counted(function):
        def wrapped(*args, **kwargs):
            if next(counter) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    os.fsync, os.replace, os.truncate = counted(os.fsync), counted(os.replace), counted(os.truncate)
    shutil.rmtree = counted(shutil.rmtree)
    Path.write_text, Path.mkdir, Path.replace = counted(Path.write_text), counted(Path.mkdir), counted(Path.replace)
    state.save_file = counted(safetensors.torch.save_file)
    return counter


def poisoned(source: str):
    """`next_token_loss`, but infinite where the row `source` is in the batch."""

    def loss(model, batch, device):
        total, count = loop.next_token_loss(model, batch, device)
        return (total * float("inf") if source in batch.sources else total), count

    return loss


def train(job: dict) -> dict:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if job.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_limit"], job["file_limit"]))
    operations = count_operations(job.get("kill_at"))
    stage_dir, store = StageDir(Path(job["folder"])), TokenStore.open(Path(job["store"]))
    model, train = Transformer(CONFIG), DocumentWindows(store, 4, 16, 0)
    answer = {"signal": 0, "error": None}
    with processes() as ranks:
        try:
            fitted = loop.fit(
                model,
                train,
                TrainingSettings(**{**DEFAULTS, **job.get("settings", {})}),
                stage_dir,
                ranks,
                label="tiny",
                steps=job["steps"],
                validation=DocumentWindows(store, 4, 16, 1),
                loss=poisoned(train.batch(job["poison"] - 1).sources[3]) if job.get("poison") else loop.next_token_loss,
            )
            answer["results"] = fitted.results
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
    digest = hashlib.blake2b()
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return {**answer, "weights": digest.hexdigest(), "operations": next(operations) - 1}


def answer(job: dict) -> dict:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as file:
            file.write(json.dumps(train(job)))
            file.flush()
            os._exit(0)
    os.close(writer)
    if job.get("kill_after"):
        saved = Path(job["folder"]) / "checkpoints" / f"step-{job['kill_after']['step']:08d}"
        while not saved.exists() and not select.select([reader], [], [], 0.001)[0]:
            pass
        time.sleep(job["kill_after"]["seconds"])
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader) as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    return {"signal": signal.SIGKILL} if os.WIFSIGNALED(status) else json.loads(content)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
