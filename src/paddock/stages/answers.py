"""What chat models and reward models answered, kept as it comes: nothing that was paid for is asked twice.

An answer's key is a hash of who was asked (its specification and the bytes of its files), what, and how. So answers can be
shared by runs: another opponent, another prompt or another order of them costs what is new, and no more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from paddock.backends.open import open_chat_model, open_scorer
from paddock.backends.spec import EndpointSpec, LocalSpec, Spec, read_spec, spec_inputs
from paddock.journal import Journal
from paddock.progress import ProgressLine
from paddock.protocols import Completion, Sampling
from paddock.run_dir import StageDir, fingerprint_inputs, hash_of, locked
from paddock.text.chat_format import tag_in
from paddock.text.dialog import DOMAINS, Dialog, Domain

REQUESTS_AT_A_TIME, AT_A_TIME = 32, 256  # what a kill can lose: of an endpoint's answers, and of others, which cost no money
ANSWERS = "answers.jsonl"
TAG = "a tag of the chat format"


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion, what it cost, as far as that is known, and its share of the time; equal questions have one key."""

    key: str
    text: str
    is_cut_short: bool
    error: str | None
    read: int | None
    written: int | None
    seconds: float


@dataclass(frozen=True)
class Asked:
    """A model by its specification, under the name that figures and progress give it."""

    name: str
    spec: Spec

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The fields of the specification that matter to an answer; of a file or a folder its bytes, wherever it lies."""
        spec = read_spec(self.spec, self.name)
        prints = fingerprint_inputs(spec.inputs())
        fields = spec.model_dump(mode="json", exclude={"timeout", "tries", "concurrency", "batch_size", "prices"})
        return {name: prints.get(value, value) if isinstance(value, str) else value for name, value in fields.items()}

    @property
    def inputs(self) -> list[str]:
        """The files and folders that it reads."""
        return spec_inputs(self.spec)

    def answers(self, prompts: Sequence[Dialog], sampling: Sampling, journal: Journal) -> list[Answer]:
        """Its answer to each prompt: from the journal, or asked for now; those that failed before are asked for again.

        Paddock's own models refuse a message with a tag of the chat format: such a prompt has an error.
        """
        keys = [hash_of([self.identity, asdict(sampling), _content(prompt)]) for prompt in prompts]
        asked = dict(zip(keys, prompts, strict=True))
        failed = [key for key in asked if key in journal.values and journal.values[key]["error"]]
        missing = [key for key in asked if key not in journal.values]
        if failed or missing:
            self._ask(asked, [failed, missing], sampling, journal)
        return [Answer(key, **journal.values[key]) for key in keys]

    def scores(self, dialogs: Sequence[Dialog], journal: Journal) -> list[float | None]:
        """Its score of each dialog, as a reward model; None for one that it cannot score."""
        keys = [hash_of(["score", self.identity, _content(dialog)]) for dialog in dialogs]
        asked = dict(zip(keys, dialogs, strict=True))
        missing = [key for key in asked if key not in journal.values]
        if missing:
            scorer = open_scorer(self.spec)
            for chunk in self._chunks([missing], AT_A_TIME):
                fit = [key for key in chunk if not any(tag_in(message.content) for message in asked[key].messages)]
                scores = dict(zip(fit, scorer.score([asked[key] for key in fit]), strict=True))
                journal.add({key: scores.get(key) for key in chunk})
        return [journal.values[key] for key in keys]

    def price(self, read: int, written: int) -> float | None:
        """What so many tokens cost; None where its specification says no price."""
        spec = read_spec(self.spec)
        return spec.prices.of(read, written) if isinstance(spec, EndpointSpec) and spec.prices else None

    def _ask(
        self, asked: Mapping[str, Dialog], groups: Sequence[Sequence[str]], sampling: Sampling, journal: Journal
    ) -> None:
        spec, model = read_spec(self.spec), open_chat_model(self.spec)
        is_local = isinstance(spec, LocalSpec)
        at_a_time = max(REQUESTS_AT_A_TIME, spec.concurrency) if isinstance(spec, EndpointSpec) else AT_A_TIME
        for chunk in self._chunks(groups, at_a_time):
            refused = [key for key in chunk if is_local and any(tag_in(m.content) for m in asked[key].messages)]
            fit = [key for key in chunk if key not in refused]
            began = time.monotonic()
            # What is drawn depends on a prompt's place in its chunk, and on the seed, which is each chunk's own.
            drawn = replace(sampling, seed=int(hash_of([sampling.seed, chunk]), 16) % 2**31)
            completions = model.complete([asked[key] for key in fit], drawn)
            seconds = (time.monotonic() - began) / max(len(fit), 1)
            found = {key: _value(some[0], seconds) for key, some in zip(fit, completions, strict=True)}
            found |= {key: _value(Completion("", finish_reason="error", error=TAG), 0.0) for key in refused}
            journal.add({key: found[key] for key in chunk})

    def _chunks(self, groups: Sequence[Sequence[str]], most: int) -> Iterator[Sequence[str]]:
        """The keys in chunks, no two groups in one, with progress."""
        chunks = [keys[at : at + most] for keys in groups for at in range(0, len(keys), most)]
        done = 0
        with ProgressLine(self.name, sum(map(len, chunks))) as progress:
            for chunk in chunks:
                yield chunk
                done += len(chunk)
                progress.update(done)


def rewards_by_domain(helpfulness: Spec, safety: Spec | None, whose: str = "") -> dict[Domain, Asked]:
    """The reward model of each domain; without one of its own, prompts of safety have that of helpfulness."""
    specs: dict[Domain, Spec] = {"helpfulness": helpfulness, "safety": helpfulness if safety is None else safety}
    return {domain: Asked(f"{whose}{domain} reward", spec) for domain, spec in specs.items()}


def scores_by_domain(rewards: Mapping[Domain, Asked], dialogs: Sequence[Dialog], journal: Journal) -> list[float | None]:
    """The score of each dialog by the reward model of its domain; of a dialog that names none, by that of helpfulness."""
    found: list[float | None] = [None] * len(dialogs)
    for domain, asked in rewards.items():
        places = [place for place, dialog in enumerate(dialogs) if (dialog.domain or DOMAINS[0]) == domain]
        for place, score in zip(places, asked.scores([dialogs[place] for place in places], journal), strict=True):
            found[place] = score
    return found


@contextmanager
def kept_answers(cache: str | None, stage_dir: StageDir) -> Iterator[Journal]:
    """The journal in the folder `cache`, or in the stage's own, for this process alone.

    Raises PaddockError where another one has it.
    """
    folder = stage_dir.path / "cache" if cache is None else Path(cache)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        yield Journal(folder / ANSWERS)


def cost(asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:
    """What answers cost: tokens read and written, where all are known, their price, where it is, and seconds.

    A failed answer counts where its tokens are known: one that was filtered out, say, was paid for.
    """
    once = {answer.key: answer for answer in answers}.values()
    known = [answer for answer in once if answer.error is None or answer.read is not None]
    read, written = _total([answer.read for answer in known]), _total([answer.written for answer in known])
    money = None if read is None or written is None else asked.price(read, written)
    return {"tokens_read": read, "tokens_written": written, "money": money, "seconds": sum(a.seconds for a in once)}


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _value(completion: Completion, seconds: float) -> dict[str, Any]:
    """An answer as a journal holds it, without its key."""
    usage, ids = completion.usage, completion.token_ids
    return {
        "text": completion.text,
        "is_cut_short": completion.finish_reason == "length",
        "error": completion.error if completion.finish_reason == "error" else None,
        "read": usage.read if usage else None,
        "written": usage.written if usage else None if ids is None else len(ids),
        "seconds": seconds,
    }


def _content(dialog: Dialog) -> list[list[str]]:
    return [[message.role, message.content] for message in dialog.messages]
