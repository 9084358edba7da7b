"""Cross-entropy and log-probabilities straight from hidden states, so that the logits never exist whole.

At a vocabulary of 32,000, 4,096 positions of float32 logits are half a gigabyte, and as much again for their gradient. Here
a slice of positions at a time goes through the head, and its gradient is worked out while its logits are at hand, in the
forward pass: the backward pass only scales what is ready.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from paddock.model.linear import linear, transposed_matmul

LOGITS_AT_A_TIME = 4 * 1024 * 1024  # 16 MB of float32: about the last cache, where the passes over a slice are fast


def _slices(positions: int, vocabulary: int) -> list[slice]:
    """So many positions at a time that their logits stay in the cache."""
    rows = max(LOGITS_AT_A_TIME // vocabulary, 1)
    return [slice(start, start + rows) for start in range(0, positions, rows)]


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        low_weight = weight.to(dtype)
        hidden_grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with torch.autocast(device, enabled=False):
            for some in _slices(len(hidden), weight.shape[0]):
                low_hidden = hidden[some].to(dtype)
                logits = linear(low_hidden, low_weight).float()  # (rows, V)
                wanted = targets[some, None]
                log_normaliser = logits.logsumexp(-1, keepdim=True)
                loss += (log_normaliser - logits.gather(-1, wanted)).sum()
                if hidden_grad is None and weight_grad is None:
                    continue
                # The gradient of a position's loss by its logits is its probabilities, less 1 at the target.
                grad = (
                    logits.sub_(log_normaliser)
                    .exp_()
                    .scatter_add_(-1, wanted, torch.full_like(wanted, -1.0, dtype=torch.float32))
                )
                low_grad = grad.to(dtype)
                if hidden_grad is not None:
                    hidden_grad[some] = linear(low_grad, low_weight.T)
                if weight_grad is not None:
                    weight_grad += transposed_matmul(low_grad, low_hidden)
        ctx.save_for_backward(hidden_grad, None if weight_grad is None else weight_grad.to(weight.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (scale,) = grads
        hidden_grad, weight_grad = ctx.saved_tensors
        return (
            None if hidden_grad is None else hidden_grad * scale.to(hidden_grad.dtype),
            None if weight_grad is None else weight_grad * scale.to(weight_grad.dtype),
            None,
        )


def summed_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of `hidden @ weight.T` against `targets`, summed over positions, as a float32 scalar.

    hidden is (N, D), weight (V, D), targets (N,) int64. The matmuls run in autocast's dtype where it is on, the softmax and
    the sum in float32. Equal to `F.cross_entropy(hidden @ weight.T, targets, reduction="sum")` up to rounding.
    """
    loss: Tensor = _SummedCrossEntropy.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
    return loss


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        low_weight = weight.to(dtype)
        result = torch.empty(2, len(hidden), dtype=torch.float32, device=hidden.device)
        for some in _slices(len(hidden), weight.shape[0]):
            log_probs = _log_softmax(hidden[some].to(dtype), low_weight, temperature)
            result[0, some] = log_probs.gather(-1, targets[some, None])[:, 0]
            result[1, some] = -(log_probs.exp() * log_probs).sum(-1)
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature, ctx.dtype = temperature, dtype
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden, weight, targets = ctx.saved_tensors
        low_weight = weight.to(ctx.dtype)
        hidden_grad = torch.empty_like(hidden)
        weight_grad = torch.zeros_like(weight, dtype=torch.float32)
        # The gradient of a log-probability by its logits is 1 at the target, less the probabilities, over the temperature.
        scale = grads[0][0, :, None] / ctx.temperature
        for some in _slices(len(hidden), weight.shape[0]):
            low_hidden = hidden[some].to(ctx.dtype)
            grad = _log_softmax(low_hidden, low_weight, ctx.temperature).exp_().neg_()
            grad.scatter_add_(-1, targets[some, None], torch.ones_like(grad[:, :1])).mul_(scale[some])
            low_grad = grad.to(ctx.dtype)
            hidden_grad[some] = linear(low_grad, low_weight.T)
            weight_grad += transposed_matmul(low_grad, low_hidden)
        return hidden_grad, weight_grad.to(weight.dtype), None, None


def _log_softmax(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (rows, V) float32; both inputs have the dtype to multiply in."""
    with torch.autocast(hidden.device.type, enabled=False):
        return linear(hidden, weight).float().div_(temperature).log_softmax(-1)


def token_log_probs(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each target under softmax(hidden @ weight.T / temperature), and that distribution's entropy.

    hidden (N, D), weight (V, D), targets (N,) int64 -> (2, N) float32, in nats. Only the log-probabilities have a gradient:
    what `policy.log_probs` of reinforcement learning are made of, at the temperature at which the tokens were drawn.
    """
    result: Tensor = _TokenLogProbs.apply(hidden, weight, targets, temperature)  # type: ignore[no-untyped-call]
    return result
