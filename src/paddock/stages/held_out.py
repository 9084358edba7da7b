"""A policy's replies to held-out prompts, and what reward models make of them, evaluation by evaluation.

    held_out/step-00000010.jsonl    a reply a line, in the order of the prompts, whole or not at all

Whoever can judge better than the rewards that a policy learns from, people or another model, reads them there.

The step whose weights are kept is the best of many by these replies, so on the same prompts its score flatters it. Where
there are 40 prompts or more, half of them choose the step, and the other half, whose replies nothing was chosen by, tell how
good it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paddock.errors import DataError
from paddock.model.scoring import LocalScorer
from paddock.run_dir import StageDir, hash_of, read_json_lines, write_json_lines
from paddock.stages.prompts import Prompts
from paddock.stages.rewards import RewardFunction
from paddock.stages.training import shown
from paddock.statistics import clustered_bootstrap
from paddock.text.dialog import Message, opening_of
from paddock.text.tokenizer import Tokenizer
from paddock.train.ppo import SMALLEST_VARIANCE
from paddock.train.rollout import Reply

UNITS = {
    "reward": "deviations",
    **dict.fromkeys(("helpfulness", "safety", "unseen"), "logit"),
    "tokens": "tokens",
    "kl": "nats",
}
ENOUGH_TO_HALVE = 40  # prompts: with fewer in all, neither half would tell much

Rows = Sequence[dict[str, Any]]


def choosing(prompts: Prompts, keep: str) -> list[bool]:
    """Which of the held-out prompts choose the step: half of them, by a hash of how they begin.

    All, where they are few, or where `keep` is "last" and nothing is chosen.
    """
    openings = [opening_of(dialog.messages) for dialog in prompts.dialogs]
    by_hash = sorted(set(openings), key=hash_of)
    if keep == "last" or len(by_hash) < ENOUGH_TO_HALVE:
        return [True] * len(prompts)
    half = set(by_hash[: len(by_hash) // 2])
    return [opening in half for opening in openings]


def judged(
    prompts: Prompts,
    replies: Sequence[Reply],
    kl: Sequence[float],
    rewards: RewardFunction,
    unseen: LocalScorer | None,
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """A row a reply: prompt, text, length, `kl` in nats, the standardised reward, and raw scores. From `unseen` no policy
    learns.
    """
    sequences = [reply.sequence for reply in replies]
    scores = rewards.score_ids(sequences, prompts.is_safety)
    columns = {
        "reward": scores.combined.tolist(),
        "helpfulness": scores.helpfulness.tolist(),
        **({} if scores.safety is None else {"safety": scores.safety.tolist()}),
        **({} if unseen is None else {"unseen": unseen.score_ids(sequences)}),
        "kl": kl,
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


def means_of(rows: Rows) -> dict[str, float]:
    """The mean of each figure of the rows, as `metrics.jsonl` names it."""
    names = {name: name for name in UNITS if name in rows[0]} | {
        "tokens": "reply_tokens",
        "missing_eos": "missing_eos_share",
    }
    return {metric: _mean([row[name] for row in rows]) for name, metric in names.items()}


def reward_scale(rows: Rows) -> tuple[float, float]:
    """The mean and the population's standard deviation of the rewards of the rows that choose."""
    rewards = [row["reward"] for row in rows if row["chooses"]]
    mean = _mean(rewards)
    return mean, math.sqrt(_mean([(reward - mean) ** 2 for reward in rewards]) + SMALLEST_VARIANCE)


def penalised_reward(rows: Rows, scale: tuple[float, float], missing_eos_penalty: float) -> float:
    """What the step is chosen by: the mean R~c, penalty included, over the rows that choose; without the KL term.

    R~c is whitened with one and the same `scale`, that of the replies before PPO, so that evaluations can be compared.
    """
    mean, std = scale
    return _mean([(row["reward"] - mean) / std - missing_eos_penalty * row["missing_eos"] for row in rows if row["chooses"]])


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


def write_replies(stage_dir: StageDir, step: int, rows: Rows) -> None:
    """Keep the rows of an evaluation."""
    write_json_lines(replies_file(stage_dir, step), rows)


def read_replies(stage_dir: StageDir, step: int) -> list[dict[str, Any]]:
    """The rows of an evaluation."""
    return read_json_lines(replies_file(stage_dir, step))


def reported(rows: Rows) -> list[dict[str, Any]]:
    """The rows that tell how good the kept weights are: those that did not choose them; where all did, all."""
    return [row for row in rows if not row["chooses"]] or list(rows)


def score_rows(stage_dir: StageDir, kept: int) -> Iterator[dict[str, Any]]:
    """A row a score, with its 95% interval: of the weights kept, of the policy before PPO, and of the gain, by prompt.

    The gain's interval is of the differences between two replies to one prompt, so that easy and hard prompts do not widen
    it. What begins alike is drawn together.
    """
    after, before = (reported(read_replies(stage_dir, step)) for step in (kept, 0))
    clusters = [opening_of([Message(**message) for message in row["prompt"]]) for row in after]

    def score(metric: str, group: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
        interval = clustered_bootstrap(values, clusters).as_row()
        return {"metric": f"held_out_{metric}", "group": group, "unit": unit, **interval}

    for name, unit in UNITS.items():
        if name in after[0]:
            now, then = ([row[name] for row in rows] for rows in (after, before))
            yield score(name, "overall", unit, now)
            yield score(name, "policy: before PPO", unit, then)
            yield score(f"{name}_gain", "overall", unit, [x - y for x, y in zip(now, then, strict=True)])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
