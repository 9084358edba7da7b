"""Simulated red teaming of a model in the miniature world: a log as people would write it (docs/red-team.md).

log.jsonl    an attempt a row, with three raters' votes
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from paddock.backends.open import open_chat_model
from paddock.miniature.benchmarks import read_world
from paddock.miniature.red_team import Plan, red_team
from paddock.progress import say
from paddock.protocols import Sampling
from paddock.run_dir import StageDir, write_json_lines
from paddock.settings import StageSettings

LOG = "log.jsonl"


class RedTeamWorldSettings(StageSettings):
    """Which model is attacked, by how many people, for how long."""

    model: str = Field(description="the folder of the model that replies")
    name: str = Field("model", description="what the log calls this version")
    data: str = Field(description="the folder of the world")
    people: int = Field(20, ge=1, description="people who attack it")
    sessions: int = Field(2, ge=1, description="sessions of each, a day apart")
    attempts: int = Field(12, ge=1, description="attempts in a session")
    temperature: float = Field(0.7, ge=0, description="of the model's replies; 0 is greedy")
    max_new_tokens: int = Field(48, ge=1, description="tokens of a reply, at most")
    seed: int = Field(0, ge=0, description="of people, attempts, replies and votes")

    def inputs(self) -> list[str]:
        """The model and the world."""
        return [self.model, self.data]


def plan(settings: RedTeamWorldSettings) -> dict[str, Any]:
    """How many attempts would be made."""
    return {"people": settings.people, "attempts": settings.people * settings.sessions * settings.attempts}


def run(settings: RedTeamWorldSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Attack, vote, and write the log. Its figures are those of stage red-team."""
    sampling = Sampling(temperature=settings.temperature, max_new_tokens=settings.max_new_tokens, seed=settings.seed)
    work = Plan(settings.people, settings.sessions, settings.attempts)
    rows = red_team(open_chat_model(settings.model), read_world(Path(settings.data)), settings.name, work, sampling)
    write_json_lines(stage_dir.path / LOG, rows)
    say(f"red-team-world: {len(rows):,} attempts in {stage_dir.path / LOG}")
    return {"attempts": len(rows), "failed_completions": work.people * work.sessions * work.attempts - len(rows)}
