"""A linear layer whose float32 matmuls on a CPU go through oneDNN.

PyTorch multiplies float32 matrices with MKL, which leaves AVX-512 unused on processors of other makers than its own; oneDNN
picks its kernels by what the processor can do. Measured on a Zen 5 processor with 2 cores: 210 GFLOP/s with MKL, 400 to 500
with oneDNN. Both are float32 and differ by rounding alone. Every other case is PyTorch's own `linear`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.backends import mkldnn
from torch.nn import functional

ONEDNN_IS_THERE: bool = mkldnn.is_available()  # type: ignore[no-untyped-call]


@torch.library.custom_op("paddock::matmul_transposed", mutates_args=())
def _matmul_transposed(a: Tensor, b: Tensor) -> Tensor:
    # An operator of our own, since the compiler takes oneDNN's for one whose weight never changes.
    if a.numel() == 0:  # which oneDNN refuses
        return a @ b.T
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


def matmul_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a @ b.T through oneDNN: a is (N, I), b is (O, I), both float32 on the CPU, in any memory layout; differentiable."""
    product: Tensor = _matmul_transposed(a, b)
    return product


@_matmul_transposed.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[0])


def transposed_matmul(a: Tensor, b: Tensor) -> Tensor:
    """a.T @ b, of (N, O) and (N, I) to (O, I): a linear layer's gradient by its weight."""
    if not goes_through_onednn(a, b):
        return a.T @ b
    if a.shape[1] > b.shape[1]:  # oneDNN's kernels are faster where the columns outnumber the rows
        return matmul_transposed(b.T, a.T).T.contiguous()
    return matmul_transposed(a.T, b.T)


def _keep_inputs(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    a, b = ctx.saved_tensors
    return (
        matmul_transposed(grad, b.T) if ctx.needs_input_grad[0] else None,
        transposed_matmul(grad, a) if ctx.needs_input_grad[1] else None,
    )


_matmul_transposed.register_autograd(_gradients, setup_context=_keep_inputs)


def goes_through_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether `linear` multiplies these through oneDNN."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and ONEDNN_IS_THERE
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (..., I) @ weight.T (I, O), differentiable."""
    if not goes_through_onednn(x, weight):
        return functional.linear(x, weight)
    return matmul_transposed(x.flatten(0, -2), weight).view(*x.shape[:-1], weight.shape[0])


class Linear(nn.Linear):
    """`nn.Linear` without bias, by `linear`."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (..., I) to (..., O)."""
        return linear(x, self.weight)
