"""Contenders in processes of their own that take turns, so that a busy machine slows all alike and memory is each one's.

A contender's process is the benchmark's script, started again with words that name it. It warms up, says so in a line of
JSON, and answers every line that it is sent with another.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch


class Worker:
    """A contender's process, warmed up; `first` is what it said of that."""

    def __init__(self, words: Iterable[str], threads: int) -> None:
        self.words, self.errors = [sys.argv[0], *words], tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the process)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen([sys.executable, *self.words], text=True, env=environment, **pipes)
        self.first = self._answer()

    def ask(self, word: str) -> Any:
        """One exchange. Raises SystemExit with the last of the errors where the process has ended."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise SystemExit(f"{' '.join(self.words)} failed:\n{self.errors.read()[-3000:]}")
        return json.loads(line)


def take_turns(workers: Mapping[str, Worker], words: Iterable[str]) -> dict[str, list[Any]]:
    """Send each of `words` to every worker, one worker after the other; what they answered, by their names."""
    turns: dict[str, list[Any]] = {name: [] for name in workers}
    for word in words:
        for name, worker in workers.items():
            turns[name].append(worker.ask(word))
    return turns


def serve(threads: int, begin: Callable[[], tuple[Any, Callable[[str], Any]]]) -> None:
    """Be a worker. `begin` warms up, and returns what to say of that and the function that answers a word.

    What libraries print goes to stderr.
    """
    torch.set_num_threads(threads)
    answers, sys.stdout = sys.stdout, sys.stderr
    first, reply = begin()
    print(json.dumps(first), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(line.strip())), file=answers, flush=True)


def peak_mb() -> float:
    """The most memory that this process has held, in MiB, imports included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
