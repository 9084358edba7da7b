"""Runs whole stages in forked children that die before a given file operation, and pays for importing torch only once.

Reads a JSON object a line on stdin: `kind` (pretrain, sft), `values` (its settings), `out` (its folder), `kill_at` (the
file operation to die before, counted from 1, or null). Answers with `{"killed": true}`, or `{"killed": false, "operations":
...}`.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo
import torch._inductor  # the optimizer imports these: once is enough

import paddock.model.checkpoint as checkpoint
import paddock.train.state as state
from paddock.catalog import find_stage
from paddock.recipe import Step, run_step
from paddock.run_dir import StageDir
from paddock.settings import parse

MADE_DEADLY = ((os, "fsync"), (os, "replace"), (os, "truncate"), (shutil, "rmtree"), (Path, "write_text"), (Path, "mkdir"))


def run(job: dict) -> int:
    """Run the stage; return how many file operations it took."""
    counter = itertools.count(1)

    def deadly(function):
        def wrapped(*args, **kwargs):
            if next(counter) == job["kill_at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    for owner, name in (*MADE_DEADLY, (state, "save_file"), (checkpoint, "save_file")):
        setattr(owner, name, deadly(getattr(owner, name)))
    torch.set_num_threads(1)
    stage = find_stage(job["kind"])
    settings = parse(stage.settings, job["values"], "test")
    run_step(Step(job["kind"], job["kind"], stage, settings, StageDir(Path(job["out"]))))
    return next(counter) - 1


def answer(job: dict) -> dict:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(run(job)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        operations = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"killed": os.WTERMSIG(status) == signal.SIGKILL}
    return {"killed": False, "operations": json.loads(operations)}


if __name__ == "__main__":
    find_stage("pretrain"), find_stage("sft")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
