"""The Llama 2 network (paper section 2.2): RMSNorm before each block, rotary positions, grouped-query attention, SwiGLU.

Shapes: B batch, T tokens, D width, H query heads, K key/value heads, C head width, F feed-forward width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from paddock.model.attention import attention_by_matmuls, suits_matmuls
from paddock.model.config import ModelConfig
from paddock.model.cross_entropy import summed_cross_entropy, token_log_probs
from paddock.model.linear import Linear

INIT_STD = (
    0.02  # the paper gives no initialisation; this is the usual one, with GPT-2's scaling of what writes to the residual
)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last dimension, in float32 whatever the input's dtype."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., D)."""
        return functional.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


def rotary_tables(positions: int, head_dim: int, theta: float, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles (Su et al. 2021), each (positions, 1, C) float32, as `rotate` takes them.

    The halves of a head are turned against each other, as Hugging Face's weights expect, so the angles come twice, and the
    sines of the first half with a minus.
    """
    frequencies = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim)
    angles = torch.arange(positions, dtype=torch.float32, device=device)[:, None, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each head of x (..., T, heads, C) by its position's angles; cos and sin are (T, 1, C) or (B, T, 1, C)."""
    halves_swapped = x.roll(x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * cos, halves_swapped, sin).to(x.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Grouped-query attention: query (B, T, H, C), key and value (B, T, K, C) -> (B, T, D).

    `mask` is None (causal) or what to add to the scores, (B, 1, T, T).
    """
    if suits_matmuls(query):
        return attention_by_matmuls(query, key, value, mask).flatten(2)
    attended = functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=query.shape[2] != key.shape[2],
    )
    return attended.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Causal self-attention in which groups of query heads share a key/value head (Ainslie et al. 2023)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        self.qkv = Linear(config.dim, (self.n_heads + 2 * self.n_kv_heads) * self.head_dim)
        self.output = Linear(config.dim, config.dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within x (B, T, D); mask is None (causal) or additive (B, 1, T, T)."""
        return self.output(attend(*self.heads(self.qkv(x), cos, sin), mask))  # type: ignore[no-any-return]

    def heads(self, qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut `self.qkv(x)` into queries (..., H, C), keys and values (..., K, C), with positions in the first two."""
        heads = qkv.view(*qkv.shape[:-1], -1, self.head_dim)
        rotated, value = torch.split(heads, [self.n_heads + self.n_kv_heads, self.n_kv_heads], dim=-2)
        query, key = torch.split(rotate(rotated, cos, sin), [self.n_heads, self.n_kv_heads], dim=-2)
        return query, key, value


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020), of gate and up side by side: (..., 2F) -> (..., F)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


class FeedForward(nn.Module):
    """down(silu(gate(x)) * up(x)), gate and up in one matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_up = Linear(config.dim, 2 * config.ffn_dim)
        self.down = Linear(config.ffn_dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x (B, T, D)."""
        return self.down(swiglu(self.gate_up(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention, then the feed-forward network, each normalised before and added to what came in."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.feed_forward_norm = RMSNorm(config.dim, config.norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """Transform x (B, T, D); the rest as in `Attention`."""
        x = x + self.attention(self.attention_norm(x), cos, sin, mask)
        return x + self.feed_forward(self.feed_forward_norm(x))  # type: ignore[no-any-return]


class Branches(NamedTuple):
    """Of rows in which segments share a beginning (see `text.branches`): each token's, and its own place in its sequence."""

    beginning_ids: Tensor  # (B, T) the segment that a token sees beside its own; 0: none
    positions: Tensor  # (B, T) int64


def block_diagonal_causal_mask(segment_ids: Tensor, dtype: torch.dtype, beginning_ids: Tensor | None = None) -> Tensor:
    """What to add to the scores so that a token sees its own segment's past alone: segment_ids (B, T) -> (B, 1, T, T).

    Where `beginning_ids` (B, T) is given, a token sees that segment, which stands before its own, as well. Padding is a
    segment like any other (id 0) at the end of a row: it sees padding, so no row of scores is empty, and no other sees it.
    """
    columns = torch.arange(segment_ids.shape[1], device=segment_ids.device)
    visible = segment_ids[:, :, None] == segment_ids[:, None, :]
    if beginning_ids is not None:
        visible |= beginning_ids[:, :, None] == segment_ids[:, None, :]
    visible &= columns[:, None] >= columns
    return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, float("-inf"))[:, None]


class Trunk(nn.Module):
    """The network without a head: token ids -> hidden states. A kind of model adds its head and its `forward`.

    `checkpoint_activations` trades time for memory: a block's inner activations are worked out again in the backward pass.
    Nothing here knows of processes: sharding and compiling are applied from outside, block by block, and every loss runs
    through a model's `forward`, as sharding needs.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpoint_activations = False
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        Trunk._derive(self)

    def _derive(self) -> None:
        """Set what follows from the configuration: the rotary tables."""
        config, device = self.config, self.embedding.weight.device
        cos, sin = rotary_tables(config.context_length, config.head_dim, config.rope_theta, device)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """After `to`, `to_empty` and the like: the tables stay float32, a tied head stays tied, nothing is left empty."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._derive()
        return self

    def reset_parameters(self) -> None:
        """Draw fresh weights from torch's generator."""
        for name, parameter in self.named_parameters():
            self.draw(name, parameter)

    def draw(self, name: str, weights: Tensor, generator: torch.Generator | None = None) -> None:
        """Set `weights` to what the parameter `name` begins with; without a `generator`, from torch's own."""
        if weights.ndim == 1:
            nn.init.ones_(weights)
        else:
            writes_to_residual = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
            std = INIT_STD / math.sqrt(2 * self.config.n_layers) if writes_to_residual else INIT_STD
            nn.init.normal_(weights, std=std, generator=generator)

    def hidden_states(
        self, token_ids: Tensor, segment_ids: Tensor | None = None, branches: Branches | None = None
    ) -> Tensor:
        """token_ids (B, T) int64 -> normalised hidden states (B, T, D).

        Rows are causal; where `segment_ids` (B, T) is given, each token sees only its own segment (several dialogs packed
        into a row), and with `branches` the segment that its own goes on from. Rotary positions are relative, so a packed
        dialog needs no positions of its own; branches do, as the rests of other sequences stand between.
        """
        length = token_ids.shape[1]
        if length > self.config.context_length:
            raise ValueError(f"rows of {length} tokens, and the model's context is {self.config.context_length}")
        x = self.embedding(token_ids)
        cos, sin, mask = self.cos[:length], self.sin[:length], None
        if branches is not None:
            cos, sin = self.cos[branches.positions], self.sin[branches.positions]
        if segment_ids is not None:
            mask = block_diagonal_causal_mask(segment_ids, x.dtype, branches and branches.beginning_ids)
        for block in self.blocks:
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = checkpoint(block, x, cos, sin, mask, use_reentrant=False)
            else:
                x = block(x, cos, sin, mask)
        return self.norm(x)  # type: ignore[no-any-return]


class Transformer(Trunk):
    """The language model: the trunk and a head that gives logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = Linear(config.dim, config.vocab_size)
        self._derive()
        self.reset_parameters()

    def _derive(self) -> None:
        super()._derive()
        if self.config.tie_embeddings:
            self.head.weight = self.embedding.weight

    def forward(
        self,
        token_ids: Tensor,
        segment_ids: Tensor | None = None,
        targets: Tensor | None = None,
        loss_mask: Tensor | None = None,
        temperature: float | None = None,
    ) -> Tensor:
        """Logits (B, T, V) in float32; or, with `targets` (B, T), their summed cross-entropy, a float32 scalar.

        `loss_mask` (B, T) bool is 1 where a target bears loss (everywhere, where it is None); the caller knows the count.
        Only positions that bear loss reach the head. With a `temperature` the result is `token_log_probs` of these positions
        instead of a sum: (2, M) float32, the log-probability of each target and the entropy, in the order of the mask.
        """
        hidden = self.hidden_states(token_ids, segment_ids)
        if targets is None:
            return self.head(hidden).float()  # type: ignore[no-any-return]
        if loss_mask is None:
            hidden, targets = hidden.flatten(0, 1), targets.flatten()
        else:
            hidden, targets = hidden[loss_mask], targets[loss_mask]
        if temperature is None:
            return summed_cross_entropy(hidden, self.head.weight, targets)
        return token_log_probs(hidden, self.head.weight, targets, temperature)
