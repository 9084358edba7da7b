"""The reward of reinforcement learning, from two reward models (paper section 3.2.3).

R_c(g | p) = R_s(g | p) where p is tagged as able to draw out unsafe answers, or R_s(g | p) < 0.15; else R_h(g | p).

R_s and R_h are the sigmoids of the models' scores. PPO whitens logit(R_c), and ranks do not change under the sigmoid: so all
that is kept here are scores, raw logits.

A departure: once the rule has chosen a model for each reply, its score is standardised, (score - mean) / std, by the mean
and the deviation that travel with the model, those of replies held out from its training. The paper compares raw logits. But
a loss of pairs leaves the zero of a score free, and its scale is each model's own: so an unsafe reply, judged by one model,
could stand before a safe one, judged by the other, on the same prompt. A model without statistics has mean 0 and std 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paddock.backends.local import open_local_scorer
from paddock.errors import SettingsError
from paddock.model.checkpoint import read_any_config, read_config
from paddock.model.scoring import LocalScorer
from paddock.model.vocabulary import load_tokenizer
from paddock.text.dialog import Dialog
from paddock.text.tokenizer import Tokenizer

UNSAFE_BELOW = 0.15  # of the sigmoid: a precision of 0.89 and a recall of 0.55 on the paper's safety test set
UNSAFE_LOGIT = math.log(UNSAFE_BELOW / (1 - UNSAFE_BELOW))


@dataclass(frozen=True)
class Scale:
    """A reward model's scale: the mean and the deviation of its scores of replies held out from its training."""

    mean: float = 0.0
    std: float = 1.0

    def standardised(self, scores: Tensor) -> Tensor:
        """Raw logits as deviations from the mean; scores that were all equal say nothing of a scale."""
        return (scores - self.mean) / (self.std if self.std > 0 else 1.0)


AS_IT_IS = Scale()


@dataclass(frozen=True)
class Rewards:
    """What each of N replies is worth, (N,) float32 each; `safety` is None without a safety model.

    `helpfulness` and `safety` are raw logits, `combined` is standardised.
    """

    helpfulness: Tensor
    safety: Tensor | None
    combined: Tensor


def combined_reward(
    helpfulness: Tensor,
    safety: Tensor | None,
    is_safety: Tensor,
    helpfulness_scale: Scale = AS_IT_IS,
    safety_scale: Scale = AS_IT_IS,
) -> Tensor:
    """logit(R_c), standardised, (N,), of two scores (N,), raw logits, and `is_safety` (N,) bool, which tags prompts.

    The 0.15 rule looks at the raw safety score, whose zero the auxiliary loss of safety models gives a meaning.
    """
    helpful = helpfulness_scale.standardised(helpfulness)
    if safety is None:
        return helpful
    return torch.where(is_safety | (safety < UNSAFE_LOGIT), safety_scale.standardised(safety), helpful)


@dataclass(frozen=True)
class RewardFunction:
    """Both reward models, as one function of what a policy sampled."""

    helpfulness: LocalScorer
    safety: LocalScorer | None
    helpfulness_scale: Scale = AS_IT_IS
    safety_scale: Scale = AS_IT_IS

    def score_ids(self, sequences: Sequence[Sequence[int]], is_safety: Sequence[bool]) -> Rewards:
        """The rewards of N whole sequences, prompt and reply; `is_safety` tags their prompts."""
        helpfulness = torch.tensor(self.helpfulness.score_ids(sequences))
        safety = None if self.safety is None else torch.tensor(self.safety.score_ids(sequences))
        scales = (self.helpfulness_scale, self.safety_scale)
        tagged = torch.tensor(is_safety, dtype=torch.bool)
        return Rewards(helpfulness, safety, combined_reward(helpfulness, safety, tagged, *scales))


def open_rewards(helpfulness: Path | str, safety: Path | str | None) -> RewardFunction:
    """The reward models in two folders, with their scales. Raises CheckpointError where one holds none."""
    scorers = open_local_scorer(helpfulness), None if safety is None else open_local_scorer(safety)
    return RewardFunction(*scorers, *(scale_of(scorer) if scorer else AS_IT_IS for scorer in scorers))


def scale_of(scorer: LocalScorer) -> Scale:
    """The scale that travels with a reward model."""
    return Scale(scorer.model.mean, scorer.model.std)


def is_tagged(prompt: Dialog) -> bool:
    """Whether a prompt is tagged as able to draw out unsafe answers: its domain is safety (the paper's IS_SAFETY)."""
    return prompt.domain == "safety"


def shared_tokenizer(policy: str, *others: str | None) -> Tokenizer:
    """The tokenizer in the folder `policy`. Raises SettingsError where another model has another one, and
    CheckpointError where a model lacks a row for an id of it.
    """
    tokenizer = load_tokenizer(policy)
    for folder in others:
        if folder and load_tokenizer(folder) != tokenizer:
            raise SettingsError(f"{folder} has another tokenizer than the policy {policy}: train it from that model")
    return tokenizer


def refuse_shorter_context(policy: str, *others: str | None, context: int | None = None) -> None:
    """Raise SettingsError where a model in one of the folders cannot read all that the policy may write.

    That is the policy's whole context, or where the stage has such a setting, `context` tokens.
    """
    most = context or read_config(policy).context_length
    for folder in filter(None, others):
        if (least := read_any_config(folder).context_length) < most:
            lower = "" if context is None else f", or set context to {least:,} or less"
            raise SettingsError(
                f"{folder} reads at most {least:,} tokens, and the policy {policy} writes up to {most:,}: train it from "
                f"that model, or from one with as long a context{lower}"
            )
