"""Simulated red teaming of a model in the miniature world: a log as people would write it (docs/red-team.md).

log.jsonl            an attempt a row, with three raters' votes
data/replies.jsonl   what the model replied, turn by turn: a killed run goes on from there
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from paddock.backends.open import open_chat_model
from paddock.journal import Journal
from paddock.miniature.benchmarks import read_world
from paddock.miniature.red_team import Plan, red_team
from paddock.progress import say
from paddock.protocols import ChatModel, Completion, Prompt, Sampling
from paddock.run_dir import StageDir, hash_of, write_json_lines
from paddock.settings import StageSettings
from paddock.text.dialog import Dialog

LOG = "log.jsonl"


class RedTeamWorldSettings(StageSettings):
    """Which model is attacked, by how many people, for how long."""

    model: str = Field(description="the folder of the model that replies")
    name: str = Field("model", description="what the log calls this version")
    data: str = Field(description="the folder of the world")
    people: int = Field(20, ge=1, description="people who attack it")
    sessions: int = Field(2, ge=1, description="sessions of each, a day apart")
    attempts: int = Field(12, ge=1, description="attempts in a session")
    day: int = Field(
        0,
        ge=0,
        le=100_000,
        description="the day of the first session: people cannot attack two versions at a time, so versions whose logs are "
        "read together need days of their own",
    )
    temperature: float = Field(0.7, ge=0, description="of the model's replies; 0 is greedy")
    max_new_tokens: int = Field(48, ge=1, description="tokens of a reply, at most")
    seed: int = Field(0, ge=0, description="of people, attempts, replies and votes")

    def inputs(self) -> list[str]:
        """The model and the world."""
        return [self.model, self.data]


@dataclass(frozen=True)
class Remembered:
    """The model in a folder, and what it replied: the same question, of the same seed, gets the same reply, unasked."""

    folder: str
    journal: Journal

    @cached_property
    def model(self) -> ChatModel:
        """The model, opened where there is something to ask."""
        return open_chat_model(self.folder)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """As any chat model, in blocks of what is asked at a time."""
        asked = [asdict(prompt) if isinstance(prompt, Dialog) else prompt for prompt in prompts]
        key = hash_of([asdict(sampling), asked])
        if key not in self.journal.values:
            found = self.model.complete(prompts, sampling)
            self.journal.add({key: [[[c.text, c.finish_reason, c.error] for c in some] for some in found]})
        return [
            [Completion(text, finish_reason=reason, error=error) for text, reason, error in some]
            for some in self.journal.values[key]
        ]

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """As the model says."""
        return self.model.log_probs(prompts, continuations)


def plan(settings: RedTeamWorldSettings) -> dict[str, Any]:
    """How many attempts would be made."""
    return {"people": settings.people, "attempts": settings.people * settings.sessions * settings.attempts}


def run(settings: RedTeamWorldSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Attack, vote, and write the log. Its figures are those of stage red-team."""
    sampling = Sampling(temperature=settings.temperature, max_new_tokens=settings.max_new_tokens, seed=settings.seed)
    work = Plan(settings.people, settings.sessions, settings.attempts, settings.day)
    model = Remembered(settings.model, Journal(stage_dir.data / "replies.jsonl"))
    rows = red_team(model, read_world(Path(settings.data)), settings.name, work, sampling)
    write_json_lines(stage_dir.path / LOG, rows)
    say(f"red-team-world: {len(rows):,} attempts in {stage_dir.path / LOG}")
    return {"attempts": len(rows), "failed_completions": work.people * work.sessions * work.attempts - len(rows)}
