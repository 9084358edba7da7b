"""Grade a model on the miniature world's held-out prompts, against the truth.

A model answers greedily, or with the best of several replies by a reward model (`best_of`). Or, with `replies`, what a
policy replied at each evaluation of PPO is graded: the truth beside the reward that it learnt from. Every true figure has a
95% interval over prompts. No stage of the paper: it stands where people and judges stand for a real model, and they can be
checked against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from paddock.backends.open import open_chat_model
from paddock.backends.spec import spec_inputs
from paddock.errors import DataError
from paddock.miniature import evaluation
from paddock.miniature.evaluation import GradedReply, evaluate, grade_reply
from paddock.miniature.tasks import GradedPrompt, read_prompts
from paddock.progress import say
from paddock.protocols import ChatModel, Completion
from paddock.run_dir import StageDir, read_json_lines
from paddock.settings import StageSettings
from paddock.stages.best_of import BestOf
from paddock.stages.held_out import evaluations, means_of
from paddock.stages.replies import Sampler
from paddock.text.dialog import Message

HELD_OUT, SYSTEM_HELD_OUT = "prompts_held_out.jsonl", "system_held_out.jsonl"
OVERALL = "overall"
PROXIES = {"reward": "reward", **{name: f"{name}_reward" for name in ("helpfulness", "safety", "unseen")}}
TRUTHS = {"helpfulness": "true_helpfulness", "violations": "violations", "false_refusals": "false_refusals"}


class EvaluateWorldSettings(StageSettings):
    """Which model or whose replies, and which world."""

    model: str | None = Field(None, description="the model to grade: a folder or a spec")
    replies: str | None = Field(
        None, description="instead of a model: the folder held_out/ of a stage ppo, whose replies are graded step by step"
    )
    data: str = Field(description="the folder of the world: its held-out prompts are read")
    best_of: int = Field(1, ge=1, description="replies to sample to each prompt; the one of the highest reward is graded")
    temperature: float = Field(0.7, gt=0, description="of sampling for best_of; a single reply is greedy")
    kl_coef: float = Field(0.0, ge=0, description="what a nat of log-probability weighs in best_of, as in stage rejection")
    helpfulness_reward: str | None = Field(None, description="the reward model's folder for best_of")
    safety_reward: str | None = Field(None, description="the safety reward model's folder for best_of")
    system_turns: int = Field(2, ge=1, description="turns of a dialog under a system message")
    seed: int = Field(0, ge=0, description="not used by greedy answers; kept with the run's other seeds")

    @model_validator(mode="after")
    def _one_is_graded(self) -> EvaluateWorldSettings:
        if (self.model is None) == (self.replies is None):
            raise ValueError("either a model is graded or replies are: give one of model and replies")
        if (self.best_of > 1) != (self.helpfulness_reward is not None):
            raise ValueError("best_of chooses by helpfulness_reward: give both or neither")
        if self.kl_coef and self.best_of == 1:
            raise ValueError("kl_coef weighs the replies of best_of: a single one has nothing to be weighed against")
        return self

    def inputs(self) -> list[str]:
        """The model or the replies, the rewards that choose, and the world."""
        folders = (self.replies, self.helpfulness_reward, self.safety_reward, self.data)
        return [*(spec_inputs(self.model) if self.model else []), *(path for path in folders if path)]


def plan(settings: EvaluateWorldSettings) -> dict[str, Any]:
    """How many prompts would be answered, or how many evaluations graded."""
    if settings.replies:
        return {"evaluations": len(evaluations(Path(settings.replies)))}
    prompts, system_prompts = _prompts(settings)
    return {"prompts": len(prompts), "dialogs_under_system_message": len(system_prompts)}


def run(settings: EvaluateWorldSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Grade, keep what was graded in `samples.jsonl` (of replies, those of the last step), and return the figures.

    A model's are `scores`, one row a score; those of replies are `curve`, one row a step.
    """
    prompts, system_prompts = _prompts(settings)
    if settings.replies:
        return grade_evaluations(evaluations(Path(settings.replies)), prompts, stage_dir)
    figures, replies = evaluate(graded_model(settings), prompts, system_prompts, settings.system_turns)
    stage_dir.write_samples(reply.to_row() for reply in replies)
    scores = list(score_rows(figures))
    for row in scores:
        if row["group"] == OVERALL and row["estimate"] is not None:
            interval = f"{row['lower']:.3f} to {row['upper']:.3f}, n {row['n']}"
            say(f"{row['metric'].replace('_', ' ')} {row['estimate']:.3f} ({interval})")
    counts = {name: value for name, value in figures.items() if isinstance(value, int)}
    return {**counts, "scores": scores}


def graded_model(settings: EvaluateWorldSettings) -> ChatModel:
    """The model in its folder, or the best of its replies by its rewards."""
    assert settings.model, "settings name a model or replies"
    if settings.helpfulness_reward is None:
        return open_chat_model(settings.model)
    sampler = Sampler.open(settings.model, settings.helpfulness_reward, settings.safety_reward)
    return BestOf(sampler, settings.best_of, settings.temperature, settings.kl_coef)


def grade_evaluations(files: Mapping[int, Path], prompts: Iterable[GradedPrompt], stage_dir: StageDir) -> dict[str, Any]:
    """`curve`: proxies beside truths, one row a step. The proxies are means of raw logits, of what the policy learns from
    (`reward`) and of each reward model's; the truths are intervals.

    Raises DataError where there is no file, and for a reply to a prompt that is not the world's.
    """
    known = {prompt.dialog.messages: prompt for prompt in prompts}
    curve: list[dict[str, Any]] = []
    replies: list[GradedReply] = []
    for step, file in files.items():
        rows = read_json_lines(file)
        replies = [_graded(row, known, file, line) for line, row in enumerate(rows, start=1)]
        truth, means = evaluation.figures(replies), means_of(rows)
        proxies = {PROXIES[name]: value for name, value in means.items() if name in PROXIES}
        truths = {TRUTHS[name]: value for name, value in truth.items() if name in TRUTHS}
        curve.append({"step": step, "replies": len(rows), **proxies, "tokens": means["reply_tokens"], **truths})
    stage_dir.write_samples(reply.to_row() for reply in replies)
    return {"curve": curve}


def _graded(row: dict[str, Any], known: Mapping[tuple[Message, ...], GradedPrompt], file: Path, line: int) -> GradedReply:
    messages = tuple(Message(message["role"], message["content"]) for message in row["prompt"])
    if messages not in known:
        problem = f"the world's held-out prompts do not hold {messages[-1].content!r}"
        raise DataError(file, problem, line=line, mend=f"Give the stage ppo that world's {HELD_OUT} as validation")
    return grade_reply(known[messages], Completion(row["answer"], finish_reason="length" if row["missing_eos"] else "stop"))


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
