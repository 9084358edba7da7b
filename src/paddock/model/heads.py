"""Scalar heads on the same trunk (paper section 3.2.2): the reward model, and the value model of PPO.

"The classification head for next-token prediction is replaced with a regression head that outputs a scalar reward": a row
of numbers, multiplied with every hidden state, to which the value model adds one more. Heads and what comes of them are
float32 throughout, also where the trunk multiplies in bfloat16.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from paddock.model.config import ModelConfig
from paddock.model.transformer import Branches, Trunk


class ScalarHead(nn.Module):
    """hidden states (..., D) -> a number each, (...), in float32 whatever the autocast."""

    def __init__(self, dim: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dim, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float32)) if bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Multiply and sum."""
        with torch.autocast(hidden.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            # A copy, for FSDP2 hangs a hook on what a module returns, and an operation in place on a view would drop it.
            return functional.linear(hidden.float(), self.weight.float(), bias)[..., 0].clone()


def fresh_head(dim: int, seed: int) -> Tensor:
    """A head to begin with, (1, D): its deviation is 1 / sqrt(D + 1) (Stiennon et al. 2020, whose 1 / (D + 1) is a slip)."""
    generator = torch.Generator().manual_seed(seed)
    return nn.init.normal_(torch.empty(1, dim), std=1 / math.sqrt(dim + 1), generator=generator)


class RewardModel(Trunk):
    """Scores a reply at its last real token: the logit of the probability that it is good.

    `mean` and `std` are those of the scores of replies held out from training: what a score means travels with the model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.score = ScalarHead(config.dim)
        self.mean, self.std = 0.0, 1.0

    def forward(self, token_ids: Tensor, segment_ids: Tensor | None = None, branches: Branches | None = None) -> Tensor:
        """token_ids (B, T) -> the score at every place, (B, T) float32; that of a reply stands at its last real token."""
        return self.score(self.hidden_states(token_ids, segment_ids, branches))  # type: ignore[no-any-return]


class ValueModel(Trunk):
    """What reward is still to come, at every token: PPO's baseline. Its head begins at zero.

    Returns are of whitened rewards, and have a mean of their own: so the head has a bias.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.value = ScalarHead(config.dim, bias=True)

    def forward(self, token_ids: Tensor, segment_ids: Tensor | None = None) -> Tensor:
        """token_ids (B, T) -> values (B, T) float32."""
        return self.value(self.hidden_states(token_ids, segment_ids))  # type: ignore[no-any-return]
