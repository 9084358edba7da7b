"""Attention by plain matmuls, for short rows in bfloat16 on a CPU, where it beats PyTorch's fused kernel.

Measured at 16 rows of 256 tokens, forward and backward, one thread with AVX512-bf16: 9.5 ms against 28.7 (4 heads over 2),
20 ms against 58 (8 over 4). The longer the rows, the smaller the gain: causally at 16 rows of 576 tokens 84 ms against 90,
at 8 of 768 77 against 58; within segments, as in fine-tuning, 88 against 132 and 81 against 77 (docs/log.md has more).
The fused kernel saves memory, which long rows need: it keeps no scores. Here the probabilities are kept for the backward
pass, 2 H T bytes a token and layer. Scores are rounded to bfloat16 before the softmax, as in any unfused attention in
bfloat16; the softmax itself runs in float32.

Shapes as in `transformer`; a group is the H / K = G query heads that share a key/value head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LONGEST = 576  # tokens of a row: the longest measured at which this wins with a mask and without
SCORES_AT_A_TIME = 2**20  # 2 MB of bfloat16: about two cores' own caches


def suits_matmuls(query: Tensor) -> bool:
    """Whether `attention_by_matmuls` is the way for queries (B, T, H, C)."""
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.shape[1] <= LONGEST


def attention_by_matmuls(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """query (B, T, H, C), key and value (B, T, K, C), mask None (causal) or additive (B, 1, T, T) -> (B, T, H, C)."""
    tokens = query.shape[1]
    if mask is None:
        mask = torch.full((1, 1, tokens, tokens), float("-inf"), device=query.device).triu(1)
    attended: Tensor = _attention(query, key, value, mask.to(query.dtype))[0]
    return attended


def _by_group(x: Tensor, groups: int) -> Tensor:
    """(B, T, H, C) -> (B K, G T, C): the queries that share a key/value head stand under one another."""
    rows, tokens, heads, width = x.shape
    grouped = x.view(rows, tokens, groups, heads // groups, width).permute(0, 2, 3, 1, 4)
    return grouped.reshape(rows * groups, heads // groups * tokens, width)


def _by_token(x: Tensor, like: Tensor, groups: int) -> Tensor:
    """The way back: (B K, G T, C) -> (B, T, H, C), the shape of `like`."""
    rows, tokens, heads, width = like.shape
    return x.view(rows, groups, heads // groups, tokens, width).permute(0, 3, 1, 2, 4).reshape(like.shape).contiguous()


def _chunks(rows: int, heads: int, groups: int, tokens: int) -> list[tuple[slice, slice]]:
    """Slices of rows, and of rows times groups, whose scores stay in the cache."""
    size = max(SCORES_AT_A_TIME // (heads * tokens * tokens), 1)
    starts = range(0, rows, size)
    return [(slice(s, s + size), slice(s * groups, (s + size) * groups)) for s in starts]


@torch.library.custom_op("paddock::attention", mutates_args=())
def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What is attended (B, T, H, C), and the probabilities (B K, G T, T)."""
    rows, tokens, heads, width = query.shape
    groups = key.shape[2]
    queries, keys, values = _by_group(query * width**-0.5, groups), _by_group(key, groups), _by_group(value, groups)
    probabilities = query.new_empty(rows * groups, heads // groups * tokens, tokens)
    attended = torch.empty_like(queries)
    for some_rows, some in _chunks(rows, heads, groups, tokens):
        scores = torch.bmm(queries[some], keys[some].transpose(1, 2)).view(-1, heads, tokens, tokens)
        scores += mask if mask.shape[0] == 1 else mask[some_rows]
        torch.softmax(scores, -1, out=probabilities[some].view(scores.shape))
        torch.bmm(probabilities[some], values[some], out=attended[some])
    return _by_token(attended, query, groups), probabilities


@_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    rows, tokens, heads, _ = query.shape
    groups = key.shape[2]
    return query.new_empty(query.shape), query.new_empty(rows * groups, heads // groups * tokens, tokens)


@torch.library.custom_op("paddock::attention_backward", mutates_args=())
def _attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, probabilities: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, given that of what was attended."""
    rows, tokens, heads, width = query.shape
    groups = key.shape[2]
    grads, queries = _by_group(grad, groups), _by_group(query, groups)
    keys, values = _by_group(key, groups), _by_group(value, groups)
    query_grad, key_grad, value_grad = torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)
    for _, some in _chunks(rows, heads, groups, tokens):
        torch.bmm(probabilities[some].transpose(1, 2), grads[some], out=value_grad[some])
        score_grad = torch.bmm(grads[some], values[some].transpose(1, 2))
        score_grad = torch._softmax_backward_data(score_grad, probabilities[some], -1, score_grad.dtype)
        torch.bmm(score_grad, keys[some], out=query_grad[some])
        torch.bmm(score_grad.transpose(1, 2), queries[some], out=key_grad[some])
    scale = width**-0.5
    return (
        _by_token(query_grad, query, groups) * scale,
        _by_token(key_grad, key, groups) * scale,
        _by_token(value_grad, value, groups),
    )


@_attention_backward.register_fake
def _(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3], output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor, Tensor, None]:
    return (*_attention_backward(grad.contiguous(), *ctx.saved_tensors), None)


_attention.register_autograd(_backward, setup_context=_keep)
