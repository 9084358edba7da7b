"""A model whose answers are kept in a journal as they come, so that a kill loses one chunk at most.

    FOLDER/answers.jsonl    a prompt a line, in order: how often it came before, a hash of what was asked, what came of it

A chunk's random numbers come from the seed and its number: the same answers come whenever and wherever it is asked. What
failed (an endpoint that was down) is asked for again by the next run; the later of two lines of one key holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paddock.backends.spec import LocalSpec, Spec, read_spec
from paddock.journal import Journal
from paddock.progress import ProgressLine
from paddock.protocols import ChatModel, Completion, Prompt, Sampling
from paddock.run_dir import hash_of, write_json_lines
from paddock.text.chat_format import tag_in
from paddock.text.dialog import Dialog

ITEMS = "items.jsonl"
PROMPTS_A_CHUNK = 64
TAG = "a tag of the chat format"

Ask = Callable[[Any, Sequence[int]], Sequence[Any]]
"""What gives the values of some prompts by their places. What is drawn hangs on the first argument: a chunk's number."""


@dataclass(frozen=True)
class KeptModel:
    """The model that `spec` names. `open` loads it, and is not called where every answer is kept already."""

    spec: Spec
    open: Callable[[], ChatModel]
    folder: Path | None
    """Where answers are kept; None: nowhere."""
    tries: int = 1
    """How often a run asks for what has failed: the first time for what failed in an earlier run, if anything did."""

    def complete(self, name: str, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
        """One completion of each prompt, in the prompts' order, kept in `name`.jsonl.

        A dialog with a tag of the chat format, which Paddock's own models refuse, has an error instead of their answer.
        """
        is_local = isinstance(read_spec(self.spec), LocalSpec)

        def ask(draw: Any, places: Sequence[int]) -> list[dict[str, Any]]:
            seeded = replace(sampling, n=1, seed=int(hash_of([sampling.seed, name, draw]), 16) % 2**31)
            fit = [place for place in places if not (is_local and _has_tag(prompts[place]))]
            answers = self.open().complete([prompts[place] for place in fit], seeded) if fit else []
            found = dict(zip(fit, answers, strict=True))
            refused = [Completion("", finish_reason="error", error=TAG)]
            return [_value(found.get(place, refused)[0]) for place in places]

        keys = [hash_of([as_json(prompt), asdict(sampling)]) for prompt in prompts]
        return [Completion(**value) for value in self._answered(name, keys, ask)]

    def log_probs(self, name: str, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[float]:
        """The natural-log probability of each continuation as a whole, kept in `name`.jsonl.

        Raises UnsupportedError where the model cannot tell.
        """

        def ask(_: Any, places: Sequence[int]) -> list[float]:
            some = [prompts[place] for place in places], [continuations[place] for place in places]
            return [sum(of_tokens) for of_tokens in self.open().log_probs(*some)]

        keys = [hash_of([as_json(prompt), text]) for prompt, text in zip(prompts, continuations, strict=True)]
        return self._answered(name, keys, ask)

    def write_items(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write `items.jsonl`: every prompt with its answer and its scores."""
        if self.folder is not None:
            write_json_lines(self.folder / ITEMS, items)

    def _answered(self, name: str, keys: Sequence[str], ask: Ask) -> list[Any]:
        if self.folder is None:
            return [value for chunk, places in _chunks(len(keys)) for value in ask(chunk, places)]
        journal, numbered = Journal(self.folder / f"{name}.jsonl"), _numbered(keys)
        failed = _failures(journal, numbered)
        ask_missing(journal, numbered, ask)
        for number in range(self.tries):
            ask_again(journal, numbered, failed, ask, number)
            failed = _failures(journal, numbered)
        return [journal.values[key] for key in numbered]


def _has_tag(prompt: Prompt) -> bool:
    return isinstance(prompt, Dialog) and any(tag_in(message.content) for message in prompt.messages)


def _value(completion: Completion) -> dict[str, Any]:
    return {"text": completion.text, "finish_reason": completion.finish_reason, "error": completion.error}


def as_json(prompt: Prompt) -> Any:
    """A prompt as JSON: text as it is, a dialog as roles and contents."""
    return [[message.role, message.content] for message in prompt.messages] if isinstance(prompt, Dialog) else prompt


def _chunks(count: int) -> Iterator[tuple[int, range]]:
    """The chunks of so many prompts: their numbers and places."""
    for begin in range(0, count, PROMPTS_A_CHUNK):
        yield begin // PROMPTS_A_CHUNK, range(begin, min(begin + PROMPTS_A_CHUNK, count))


def _numbered(keys: Iterable[str]) -> list[str]:
    """Keys that differ: each with how often it came before."""
    seen: Counter[str] = Counter()
    found = []
    for key in keys:
        found.append(f"{seen[key]} {key}")
        seen[key] += 1
    return found


def ask_missing(journal: Journal, keys: Sequence[str], ask: Ask) -> None:
    """Ask for what the journal lacks of each chunk, which joins it as a block: there whole or not at all."""
    lacking = [
        (chunk, [place for place in places if keys[place] not in journal.values]) for chunk, places in _chunks(len(keys))
    ]
    missing = [(chunk, places) for chunk, places in lacking if places]
    if missing:
        done = len(keys) - sum(len(places) for _, places in missing)
        with ProgressLine(journal.path.stem, len(keys), done) as progress:
            for chunk, places in missing:
                values = ask(chunk, places)
                journal.add({keys[place]: value for place, value in zip(places, values, strict=True)})
                done += len(places)
                progress.update(done)


def ask_again(journal: Journal, keys: Sequence[str], failed: Sequence[int], ask: Ask, number: int) -> None:
    """Ask once more, for the time `number`, for what stands at the places `failed`; what fails as before adds no line."""
    for begin in range(0, len(failed), PROMPTS_A_CHUNK):
        places = failed[begin : begin + PROMPTS_A_CHUNK]
        values = dict(zip((keys[place] for place in places), ask(["again", number, *places], places), strict=True))
        journal.add({key: value for key, value in values.items() if value != journal.values[key]})


def _failures(journal: Journal, keys: Sequence[str]) -> list[int]:
    """The places of failed completions, but for those that no model could have answered otherwise."""
    found = (journal.values.get(key) for key in keys)
    return [place for place, value in enumerate(found) if isinstance(value, dict) and value["error"] not in (None, TAG)]
