"""What the tests of training share: tiny documents, and a process that trains a tiny model and can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from paddock.text.chat_format import Encoded
from paddock.text.packing import TokenStore

VOCAB_SIZE = 64


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 documents in which each even token follows from the one before it."""
    folder = tmp_path_factory.mktemp("documents") / "store"
    random = np.random.default_rng(0)
    documents = random.integers(3, VOCAB_SIZE, (12, 40))
    documents[:, 1::2] = documents[:, ::2] * 3 % VOCAB_SIZE
    TokenStore.write(folder, (Encoded(document.tolist()) for document in documents), VOCAB_SIZE)
    return folder


@pytest.fixture(scope="session")
def tiny_run(store_folder: Path) -> Iterator[Callable[..., dict]]:
    """`tiny_run(folder, steps=6, kill_at=...)`: what `tiny_run.py` answers."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("tiny_run.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def run(folder: Path, **job: object) -> dict:
        process.stdin.write(json.dumps({"folder": str(folder), "store": str(store_folder), **job}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(timeout=30)
