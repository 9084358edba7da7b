"""A policy's replies to held-out prompts, and what reward models make of them, evaluation by evaluation.

    held_out/step-00000010.jsonl    a reply a line, in the order of the prompts, whole or not at all

Whoever can judge better than the rewards that a policy learns from, people or another model, reads them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paddock.errors import DataError
from paddock.model.scoring import LocalScorer
from paddock.run_dir import StageDir, read_json_lines, write_json_lines
from paddock.stages.prompts import Prompts
from paddock.stages.rewards import RewardFunction
from paddock.stages.training import shown
from paddock.statistics import mean_interval
from paddock.text.tokenizer import Tokenizer
from paddock.train.rollout import Reply

UNITS = {"reward": "logit", "helpfulness": "logit", "safety": "logit", "unseen": "logit", "tokens": "tokens"}


def judged(
    prompts: Prompts, replies: Sequence[Reply], rewards: RewardFunction, unseen: LocalScorer | None, tokenizer: Tokenizer
) -> list[dict[str, Any]]:
    """A row a reply: prompt, text, length, and its scores, raw logits. From `unseen` the policy does not learn."""
    sequences = [reply.sequence for reply in replies]
    scores = rewards.score_ids(sequences, prompts.is_safety)
    columns = {
        "reward": scores.combined.tolist(),
        "helpfulness": scores.helpfulness.tolist(),
        **({} if scores.safety is None else {"safety": scores.safety.tolist()}),
        **({} if unseen is None else {"unseen": unseen.score_ids(sequences)}),
    }
    return [
        {
            "id": dialog.id,
            "prompt": shown(dialog),
            "answer": tokenizer.decode(list(reply.ids)).strip(),
            "tokens": len(reply.ids),
            "missing_eos": not reply.ended,
            **{name: column[place] for name, column in columns.items()},
        }
        for place, (dialog, reply) in enumerate(zip(prompts.dialogs, replies, strict=True))
    ]


def means_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each figure of the rows, as `metrics.jsonl` names it."""
    names = {name: name for name in UNITS if name in rows[0]} | {
        "tokens": "reply_tokens",
        "missing_eos": "missing_eos_share",
    }
    return {metric: sum(row[name] for row in rows) / len(rows) for name, metric in names.items()}


def replies_file(stage_dir: StageDir, step: int) -> Path:
    """Where the replies of an evaluation stand."""
    return stage_dir.path / "held_out" / f"step-{step:08d}.jsonl"


def evaluations(folder: Path) -> dict[int, Path]:
    """The files of all evaluations in a folder `held_out/`, by step. Raises DataError where it holds none."""
    files = sorted(folder.glob("step-*.jsonl"))
    if not files:
        raise DataError(
            folder, "there are no replies of held-out prompts (step-*.jsonl)", mend="Give a ppo stage's held_out/"
        )
    return {int(file.stem.removeprefix("step-")): file for file in files}


def write_replies(stage_dir: StageDir, step: int, rows: Sequence[dict[str, Any]]) -> None:
    """Keep the rows of an evaluation."""
    write_json_lines(replies_file(stage_dir, step), rows)


def read_replies(stage_dir: StageDir, step: int) -> list[dict[str, Any]]:
    """The rows of an evaluation."""
    return read_json_lines(replies_file(stage_dir, step))


def score_rows(stage_dir: StageDir, kept: int) -> Iterator[dict[str, Any]]:
    """A row a score, with its 95% interval over prompts: of the weights that are kept, and of the policy before PPO."""
    for group, step in (("overall", kept), ("policy: before PPO", 0)):
        rows = read_replies(stage_dir, step)
        for name, unit in UNITS.items():
            if name in rows[0]:
                interval = mean_interval([row[name] for row in rows]).as_row()
                yield {"metric": f"held_out_{name}", "group": group, "unit": unit, **interval}
