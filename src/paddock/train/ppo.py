"""Proximal policy optimization as pure functions (paper section 3.2.3; Schulman et al. 2017).

Shapes: N replies, L tokens of the longest. A tensor of tokens is (N, L) float32: a reply begins in column 0, and its mask,
(N, L) bool, is 1 on sampled tokens, the end token among them, and 0 on padding. What stands under padding, be it NaN, never
reaches a result. Losses and statistics are sums, and the caller divides by the tokens of the whole step: so neither
micro-batches nor ranks change them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paddock.train.parallel import Ranks

SMALLEST_VARIANCE = 1e-8


def whiten(values: Tensor, mask: Tensor, ranks: Ranks, shift_mean: bool = True) -> Tensor:
    """(x - mean) / sqrt(variance + 1e-8) over all masked places of all ranks; zero elsewhere. Any shape.

    The variance is the population's, sum (x - mean)^2 / n, so that a batch of one kind gives zeros and no division by zero.
    Without `shift_mean` the mean is added again: x is only scaled (Huang et al. 2024, The N Implementation Details of RLHF
    with PPO).
    """
    kept = values.where(mask, 0.0).double()
    total, count = ranks.sum(torch.stack((kept.sum(), mask.sum().double())))
    mean = total / count
    spread = (kept - mean).where(mask, 0.0)
    variance = ranks.sum(spread.square().sum()) / count
    whitened = spread * (variance + SMALLEST_VARIANCE).rsqrt()
    shifted: Tensor = whitened if shift_mean else whitened + mean
    return shifted.where(mask, 0.0).to(values.dtype)


def kl_k1(log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor) -> Tensor:
    """log pi(a) - log pi_0(a), (N, L), zero on padding: unbiased for KL(pi || pi_0), and at times negative (Schulman 2020).

    Its sum over a reply is an estimate of the paper's D_KL(pi_theta(g | p) || pi_0(g | p)).
    """
    return (log_probs - reference_log_probs).where(mask, 0.0)


def kl_k3(log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor) -> Tensor:
    """r - 1 - log r with r = pi_0(a) / pi(a), (N, L), zero on padding: unbiased as well, and never negative."""
    log_ratio = -kl_k1(log_probs, reference_log_probs, mask)
    return log_ratio.expm1() - log_ratio


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """R(g | p) = R~c(g | p) - beta KL(pi_theta || pi_0) (paper 3.2.3), token by token: (N, L), zero on padding.

    Each token bears -`kl_coef` times its own `kl` (N, L), and a reply's last real token its score, `scores` (N,), as well.
    """
    rewards = (-kl_coef * kl).where(mask, 0.0)
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores[:, None])


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (N, L) each, zero on padding (Schulman et al. 2016, equation 16).

    delta_t = r_t + gamma V_{t+1} - V_t and A_t = delta_t + gamma lambda A_{t+1}, where t + 1 is the reply's next masked
    token; after its last one value and advantage are zero, for the reply is over. Returns are A + V.
    """
    advantages = torch.zeros_like(rewards)
    next_value, next_advantage = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for place in reversed(range(rewards.shape[1])):
        real, value = mask[:, place], values[:, place]
        delta = rewards[:, place] + gamma * next_value - value
        advantage = delta + gamma * gae_lambda * next_advantage
        next_advantage = advantage.where(real, next_advantage)
        next_value = value.where(real, next_value)
        advantages[:, place] = advantage.where(real, 0.0)
    return advantages, (advantages + values).where(mask, 0.0)


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float
) -> Tensor:
    """-sum of min(r A, clip(r, 1 - c, 1 + c) A) over masked tokens, r = pi / pi_old (Schulman et al. 2017, equation 7).

    A float32 scalar with a graph to `log_probs`. The mean over tokens is the caller's: this sum over the step's tokens.
    """
    ratio = _difference(log_probs, old_log_probs, mask).exp()
    advantages = advantages.where(mask, 0.0)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.minimum(ratio * advantages, clipped * advantages).sum()


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip_range: float | None
) -> Tensor:
    """1/2 sum of max((V - R)^2, (V_old + clip(V - V_old, -c, c) - R)^2) over masked tokens; a float32 scalar with a graph.

    From the implementation that Schulman et al. published (details: Huang et al. 2022). `clip_range` None: no clipping.
    """
    error = _difference(values, returns, mask).square()
    if clip_range is not None:
        moved = _difference(values, old_values, mask).clamp(-clip_range, clip_range)
        error = torch.maximum(error, (moved + _difference(old_values, returns, mask)).square())
    return 0.5 * error.sum()


UPDATE_SUMS = ("ratio", "clipped", "approximate_kl")


@torch.no_grad()
def update_sums(log_probs: Tensor, old_log_probs: Tensor, mask: Tensor, clip_range: float) -> tuple[Tensor, float]:
    """How far an update has moved the policy: the sums `UPDATE_SUMS`, (3,) float64, and the largest |ratio - 1|.

    `ratio` is pi / pi_old; `clipped` counts the tokens whose ratio is outside 1 -/+ `clip_range`; `approximate_kl` is k3 of
    the old policy against the new one, r - 1 - log r, never negative.
    """
    log_ratio = _difference(log_probs, old_log_probs, mask).double()
    ratio = log_ratio.exp()
    clipped = ((ratio - 1).abs() > clip_range) & mask
    sums = torch.stack((ratio.where(mask, 0.0).sum(), clipped.sum().double(), (log_ratio.expm1() - log_ratio).sum()))
    return sums, (ratio - 1).abs().max().item() if mask.any() else 0.0


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor, ranks: Ranks) -> float:
    """1 - Var(R - V) / Var(R) over all masked tokens of all ranks: 1 is perfect, 0 no better than a constant.

    NaN where all returns are equal.
    """
    moments = []
    for x in (_difference(returns, values, mask), returns.where(mask, 0.0)):
        moments += [x.double().sum(), x.double().square().sum()]
    error, error_square, total, square, count = ranks.sum(torch.stack((*moments, mask.sum().double()))).tolist()
    variance = square / count - (total / count) ** 2
    return 1 - (error_square / count - (error / count) ** 2) / variance if variance > 0 else float("nan")


def _difference(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """one - other, zero on padding, with no gradient from there, whatever stands there."""
    return one.where(mask, 0.0) - other.where(mask, 0.0)
