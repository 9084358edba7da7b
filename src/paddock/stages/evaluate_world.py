"""Grade a model on the miniature world's held-out prompts, against the truth.

Greedy answers; every figure has a 95% interval over prompts. No stage of the paper: it stands where people and judges stand
for a real model, and they can be checked against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from paddock.backends.open import open_chat_model
from paddock.miniature.evaluation import evaluate
from paddock.miniature.tasks import GradedPrompt, read_prompts
from paddock.progress import say
from paddock.run_dir import StageDir
from paddock.settings import StageSettings

HELD_OUT, SYSTEM_HELD_OUT = "prompts_held_out.jsonl", "system_held_out.jsonl"
OVERALL = "overall"


class EvaluateWorldSettings(StageSettings):
    """Which model, and which world."""

    model: str = Field(description="the folder of the model to grade")
    data: str = Field(description="the folder of the world: its held-out prompts are read")
    system_turns: int = Field(2, ge=1, description="turns of a dialog under a system message")
    seed: int = Field(0, ge=0, description="not used by greedy answers; kept with the run's other seeds")

    def inputs(self) -> list[str]:
        """The model and the world."""
        return [self.model, self.data]


def plan(settings: EvaluateWorldSettings) -> dict[str, Any]:
    """How many prompts would be answered."""
    prompts, system_prompts = _prompts(settings)
    return {"prompts": len(prompts), "dialogs_under_system_message": len(system_prompts)}


def run(settings: EvaluateWorldSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Answer, grade, keep every reply in `samples.jsonl`, and return the figures, one row a score."""
    prompts, system_prompts = _prompts(settings)
    model = open_chat_model(settings.model)
    figures, replies = evaluate(model, prompts, system_prompts, settings.system_turns)
    stage_dir.write_samples(reply.to_row() for reply in replies)
    scores = list(score_rows(figures))
    for row in scores:
        if row["group"] == OVERALL and row["estimate"] is not None:
            interval = f"{row['lower']:.3f} to {row['upper']:.3f}, n {row['n']}"
            say(f"{row['metric'].replace('_', ' ')} {row['estimate']:.3f} ({interval})")
    counts = {name: value for name, value in figures.items() if isinstance(value, int)}
    return {**counts, "scores": scores}


def score_rows(figures: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row an interval, from `{"violations": interval, "violations_by_style": {"plain": interval, ...}}`."""
    for name, value in figures.items():
        if not isinstance(value, dict):
            continue
        metric, _, by = name.partition("_by_")
        groups = {OVERALL: value} if "estimate" in value else value
        for group, interval in groups.items():
            yield {"metric": metric, "group": f"{by}: {group}" if by else group, "unit": "share", **interval}


def _prompts(settings: EvaluateWorldSettings) -> tuple[list[GradedPrompt], list[GradedPrompt]]:
    folder = Path(settings.data)
    return list(read_prompts(folder / HELD_OUT)), list(read_prompts(folder / SYSTEM_HELD_OUT))
