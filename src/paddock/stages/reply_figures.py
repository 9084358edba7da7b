"""The figures of a run's replies, read prompt by prompt: of a reply no more than four numbers stay in memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

import torch

from paddock.evaluate.reward_accuracy import agreement
from paddock.stages.replies import ScoredReply, best_of, probability
from paddock.stages.rewards import RewardFunction
from paddock.statistics import mean_interval


class FirstN(NamedTuple):
    """The best and the median reward of the first N usable replies to a prompt, N = 1, 2, ..., on the sigmoid's scale."""

    best: array[float]
    median: array[float]


def first_n(replies: Sequence[ScoredReply]) -> FirstN:
    """The figures of one prompt's usable replies, at least one."""
    rewards = [probability(reply.scores.reward) for reply in replies]
    counts = range(1, len(replies) + 1)
    best, so_far = array("d"), replies[0]
    for reply in replies:
        so_far = best_of((so_far, reply))
        best.append(probability(so_far.scores.reward))
    return FirstN(best, array("d", (median(rewards[:n]) for n in counts)))


def curve(prompts: Sequence[FirstN]) -> list[dict[str, Any]]:
    """Figures 7 and 8: for each N up to K, the mean over prompts of the best and the median reward of the first N.

    A prompt with fewer usable replies counts with all that it has.
    """
    points = []
    for n in range(1, max((len(some.best) for some in prompts), default=0) + 1):
        best, middle = ([values[min(n, len(values)) - 1] for values in column] for column in zip(*prompts, strict=True))
        points.append({"replies": n, "max": mean_interval(best).as_row(), "median": mean_interval(middle).as_row()})
    return points


@dataclass
class ReplyFigures:
    """What replies came to, added up prompt by prompt; scores, raw logits, are those of usable replies."""

    prompts: list[FirstN] = field(default_factory=list)
    helpfulness: array[float] = field(default_factory=lambda: array("d"))
    safety: array[float] = field(default_factory=lambda: array("d"))
    replies: int = 0
    ended: int = 0

    def add(self, replies: Sequence[ScoredReply], answers: Sequence[ScoredReply]) -> None:
        """Count all replies to a prompt, and its `answers`, those of them that are usable."""
        self.replies += len(replies)
        self.ended += sum(reply.ended for reply in replies)
        self.helpfulness.extend(reply.scores.helpfulness for reply in answers)
        self.safety.extend(reply.scores.safety or 0.0 for reply in answers)
        if answers:
            self.prompts.append(first_n(answers))

    def results(self, rewards: RewardFunction) -> dict[str, Any]:
        """The figures for `results.json`, `rewards` being what scored the replies."""
        return {
            "curve": curve(self.prompts),
            "agreement": self.agreement(rewards),
            "unusable": self.replies - len(self.helpfulness),
            "cut_short_share": 1 - self.ended / self.replies if self.replies else 0.0,
        }

    def agreement(self, rewards: RewardFunction) -> dict[str, Any] | None:
        """How the two reward models agree on all usable replies (Figure 32), both standardised; None where there is one."""
        if rewards.safety is None or not self.helpfulness:
            return None
        helpfulness, safety = (torch.tensor(scores, dtype=torch.float32) for scores in (self.helpfulness, self.safety))
        return agreement(
            rewards.helpfulness_scale.standardised(helpfulness).tolist(), rewards.safety_scale.standardised(safety).tolist()
        )
