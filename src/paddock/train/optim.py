"""The optimizer, its schedule, and the one step that every stage takes (paper section 2.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

BETAS = (0.9, 0.95)
EPSILON = 1e-5


def build_optimizer(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW in one fused kernel, with decay on matrices (embeddings too) and none on the norms' weights."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=BETAS, eps=EPSILON, fused=True)


def learning_rate(step: int, steps: int, peak: float, warmup_steps: int, final: float) -> float:
    """The learning rate of step `step` (from 1) of `steps`: a linear rise, then a cosine down to `final` times the peak."""
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))


def default_warmup(steps: int) -> int:
    """The paper's 2,000 steps (section 2.2), and at most 3% of the run, which is its rule for reward models (3.2.2)."""
    return min(2000, math.ceil(0.03 * steps))


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm over all gradients, over all ranks: a scalar tensor."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def optimizer_step(optimizer: torch.optim.Optimizer, norm_of_sums: Tensor, count: float, rate: float, clip: float) -> None:
    """Divide the summed gradients by the step's `count`, clip their norm, update the weights and drop the gradients.

    `norm_of_sums` is `gradient_norm` before the division: both factors go into one pass over the gradients.
    """
    factor = clip_factor(norm_of_sums / count, clip) / count
    for group in optimizer.param_groups:
        group["lr"] = rate
        gradients = [p.grad for p in group["params"] if p.grad is not None]
        torch._foreach_mul_(gradients, factor)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def clip_factor(norm: Tensor, clip: float) -> Tensor:
    """What to multiply gradients of norm `norm` by, so that their norm is at most `clip`."""
    return (clip / (norm + 1e-6)).clamp(max=1.0)
