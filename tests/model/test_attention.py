"""Attention by matmuls against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from paddock.model.attention import LONGEST, attention_by_matmuls, suits_matmuls
from paddock.model.transformer import block_diagonal_causal_mask

SHAPES = [(3, 12, 4, 2, 8), (2, 7, 4, 4, 6), (1, 1, 2, 1, 4), (40, 160, 4, 1, 4)]  # the last in several chunks


def inputs(shape: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    rows, tokens, heads, groups, width = shape
    torch.manual_seed(0)
    sizes = [(rows, tokens, count, width) for count in (heads, groups, groups)]
    drawn = [torch.randn(size).to(torch.bfloat16) for size in sizes]  # numbers that every dtype holds
    return [x.to(dtype, copy=True).requires_grad_() for x in drawn]


def reference(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    heads = [x.transpose(1, 2) for x in (query, key, value)]
    fused = functional.scaled_dot_product_attention(*heads, attn_mask=mask, is_causal=mask is None, enable_gqa=True)
    return fused.transpose(1, 2)


def segments(shape: tuple[int, ...]) -> torch.Tensor:
    rows, tokens = shape[:2]
    return block_diagonal_causal_mask((torch.arange(tokens) // 3 + 1).expand(rows, tokens), torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 0.04)])
def test_output_and_gradients_equal_pytorchs(
    shape: tuple[int, ...], masked: bool, dtype: torch.dtype, tolerance: float
) -> None:
    mask = segments(shape) if masked else None
    ours, theirs = inputs(shape, dtype), inputs(shape, torch.float64)
    found = attention_by_matmuls(*ours, mask)
    expected = reference(*theirs, None if mask is None else mask.double())
    grad = torch.randn_like(expected)
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    found.backward(grad.to(dtype))
    expected.backward(grad.to(dtype).double())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, atol=4 * tolerance, rtol=tolerance)


def test_the_operators_tell_the_compiler_the_truth() -> None:
    query, key, value = inputs(SHAPES[0], torch.float64)
    mask = torch.zeros(1, 1, SHAPES[0][1], SHAPES[0][1], dtype=torch.float64)
    torch.library.opcheck(torch.ops.paddock.attention.default, (query, key, value, mask))


def test_rows_that_hold_twenty_turns_of_the_miniature_are_suited() -> None:
    assert suits_matmuls(torch.empty(1, 576, 2, 4, dtype=torch.bfloat16))


def test_only_short_rows_in_bf16_on_a_cpu_are_suited() -> None:
    assert suits_matmuls(torch.empty(1, LONGEST, 2, 4, dtype=torch.bfloat16))
    assert not suits_matmuls(torch.empty(1, LONGEST + 1, 2, 4, dtype=torch.bfloat16))
    assert not suits_matmuls(torch.empty(1, LONGEST, 2, 4))
    assert not suits_matmuls(torch.empty(1, LONGEST, 2, 4, dtype=torch.bfloat16, device="meta"))
