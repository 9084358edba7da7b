"""A model whose answers are kept in a file as they come, so that a kill loses one chunk at most.

    FOLDER/answers.jsonl    a prompt a line, in order: what was asked, as a hash, and what came of it

A chunk's random numbers come from the seed and its number: the same answers come whenever and wherever it is asked. What a
kill left of a chunk is asked for again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paddock.errors import DataError
from paddock.progress import ProgressLine
from paddock.protocols import ChatModel, Completion, Prompt, Sampling
from paddock.run_dir import hash_of, write_json_lines
from paddock.text.dialog import Dialog

ITEMS = "items.jsonl"
PROMPTS_A_CHUNK = 64

Ask = Callable[[int, range], list[dict[str, Any]]]
"""What gives the rows of a chunk, by its number and the places of its prompts."""


@dataclass(frozen=True)
class KeptModel:
    """The model that `spec` names. `open` loads it, and is not called where every answer is kept already."""

    spec: str
    open: Callable[[], ChatModel]
    folder: Path | None
    """Where answers are kept; None: nowhere."""

    def complete(self, name: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
        """One completion of each prompt, in the prompts' order, kept in `name`.jsonl."""

        def ask(chunk: int, places: range) -> list[dict[str, Any]]:
            seeded = replace(sampling, n=1, seed=int(hash_of([sampling.seed, name, chunk]), 16))
            completions = self.open().complete([prompts[place] for place in places], seeded)
            return [
                {"text": completion.text, "finish_reason": completion.finish_reason, "error": completion.error}
                for completion, *_ in completions
            ]

        keys = [hash_of([_as_json(prompt), asdict(sampling)]) for prompt in prompts]
        rows = self._answered(name, keys, ask)
        return [Completion(row["text"], finish_reason=row["finish_reason"], error=row["error"]) for row in rows]

    def log_probs(self, name: str, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[float]:
        """The natural-log probability of each continuation as a whole, kept in `name`.jsonl.

        Raises UnsupportedError where the model cannot tell.
        """

        def ask(_: int, places: range) -> list[dict[str, Any]]:
            some = [prompts[place] for place in places], [continuations[place] for place in places]
            return [{"log_prob": sum(of_tokens)} for of_tokens in self.open().log_probs(*some)]

        keys = [hash_of([_as_json(prompt), text]) for prompt, text in zip(prompts, continuations, strict=True)]
        return [row["log_prob"] for row in self._answered(name, keys, ask)]

    def write_items(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write `items.jsonl`: every prompt with its answer and its scores."""
        if self.folder is not None:
            write_json_lines(self.folder / ITEMS, items)

    def _answered(self, name: str, keys: Sequence[str], ask: Ask) -> list[dict[str, Any]]:
        if self.folder is not None:
            return kept(self.folder / f"{name}.jsonl", keys, ask)
        return [row for chunk, places in _chunks(0, len(keys)) for row in ask(chunk, places)]


def _as_json(prompt: Prompt) -> Any:
    return [[message.role, message.content] for message in prompt.messages] if isinstance(prompt, Dialog) else prompt


def _chunks(begin: int, end: int) -> Iterator[tuple[int, range]]:
    """The chunks from the place `begin`, where one begins, to `end`: their numbers and places."""
    for first in range(begin, end, PROMPTS_A_CHUNK):
        yield first // PROMPTS_A_CHUNK, range(first, min(first + PROMPTS_A_CHUNK, end))


def kept(file: Path, keys: Sequence[str], ask: Ask) -> list[dict[str, Any]]:
    """A row for each of `keys`, in order: those in `file`, and those that `ask(chunk, places)` gives, which join it.

    Raises DataError where the file's rows are of other keys.
    """
    rows, whole_bytes = _read(file, keys)
    if len(rows) == len(keys):
        return rows
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab") as out, ProgressLine(file.stem, len(keys), len(rows)) as progress:
        out.truncate(whole_bytes)
        for chunk, places in _chunks(len(rows), len(keys)):
            new = ask(chunk, places)
            lines = [json.dumps({"key": keys[place], **row}) for place, row in zip(places, new, strict=True)]
            out.write("".join(f"{line}\n" for line in lines).encode())
            out.flush()
            os.fsync(out.fileno())
            rows += new
            progress.update(len(rows))
    return rows


def _read(file: Path, keys: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """The rows of the whole chunks in `file`, and the bytes that they take: what a kill left of a chunk is not counted."""
    rows: list[dict[str, Any]] = []
    whole_rows = whole_bytes = read_bytes = 0
    if not file.exists():
        return rows, 0
    with open(file, "rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            if len(rows) == len(keys) or row.pop("key", None) != keys[len(rows)]:
                problem = "holds answers to other questions, or of other sampling"
                raise DataError(file, problem, line=len(rows) + 1, mend="Remove the file, or give another folder")
            rows.append(row)
            read_bytes += len(line)
            if len(rows) % PROMPTS_A_CHUNK == 0 or len(rows) == len(keys):
                whole_rows, whole_bytes = len(rows), read_bytes
    return rows[:whole_rows], whole_bytes
