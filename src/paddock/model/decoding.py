"""The network one token at a time, as plain functions on preallocated tensors.

Shapes: R rows of the cache, B rows in use (always the first ones), L positions, H query heads, K key/value heads, C head
width, V vocabulary. Rows are left-aligned: the token at position p of a row stands in column p.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from paddock.model.linear import Linear, goes_through_onednn
from paddock.model.transformer import Attention, Block, Transformer, attend, swiglu

ROWS = 64  # decoded at a time on a CPU: with more, its matmuls gain little and the cache outgrows the processor's own
CACHE_BYTES = 2 << 30  # on a CPU
ACCELERATOR_ROWS = 512  # there a step reads the weights once for all rows, and more rows cost little
ACCELERATOR_SHARE = 1 / 8  # of its memory for the cache: the models of a stage need the rest
PACK_AT_MOST_BYTES = 1 << 30  # packing copies the weights: not worth the memory where they are large

Layer = Callable[[Tensor], Tensor]


def bounds_of(device: torch.device) -> tuple[int, int]:
    """The most rows to decode at a time on a device, and the most bytes of their cache.

    An accelerator's cache has an eighth of its memory: a fixed share, so that a run that was killed decodes in the batches
    that it would have had, for rounding depends on their size. Only where memory is scarce, it has half of what is free.
    """
    if device.type != "cuda":
        return ROWS, CACHE_BYTES
    free, total = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept by PyTorch for what comes
    return ACCELERATOR_ROWS, int(min(total * ACCELERATOR_SHARE, (free + unused) / 2))


class Cache:
    """Keys and values of every layer, each (R, K, L, C). On a CPU, what is never written takes no memory."""

    def __init__(self, model: Transformer, rows: int, positions: int) -> None:
        config, like = model.config, model.embedding.weight
        shape = (rows, config.n_kv_heads, positions, config.head_dim)
        self.keys = [_zeros(shape, like) for _ in range(config.n_layers)]
        self.values = [_zeros(shape, like) for _ in range(config.n_layers)]
        self.rows, self.positions = rows, positions

    def move(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first `length` positions of rows `source` (M,) to rows `target` (M,)."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros of `like`'s dtype and device. Masked columns must be finite, since nought times NaN is NaN.

    On a CPU they come from NumPy, whose zeros take no memory until they are written to; PyTorch writes them at once.
    """
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    return torch.from_numpy(np.zeros(math.prod(shape) * like.element_size(), np.uint8)).view(like.dtype).view(shape)


class DecodingBlock(NamedTuple):
    """What a block does, with its linear layers laid out for batches of one size."""

    attention: Attention
    attention_norm: Layer
    qkv: Layer
    output: Layer
    feed_forward_norm: Layer
    gate_up: Layer
    down: Layer


class DecodingNetwork(NamedTuple):
    """A Transformer laid out for decoding about `rows` rows at a time. It does not follow later changes of the weights."""

    model: Transformer
    blocks: list[DecodingBlock]
    head: Layer


def lay_out(model: Transformer, rows: int) -> DecodingNetwork:
    """Prepare `model` for decoding `rows` rows at a time."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    pack = partial(_pack, rows=rows) if size <= PACK_AT_MOST_BYTES else _as_it_is
    blocks = [
        DecodingBlock(
            attention=block.attention,
            attention_norm=block.attention_norm,
            qkv=pack(block.attention.qkv),
            output=pack(block.attention.output),
            feed_forward_norm=block.feed_forward_norm,
            gate_up=pack(block.feed_forward.gate_up),
            down=pack(block.feed_forward.down),
        )
        for block in blocks_of(model)
    ]
    return DecodingNetwork(model, blocks, pack(model.head))


def blocks_of(model: Transformer) -> Iterable[Block]:
    """The model's blocks, for the type checker: a ModuleList holds any module."""
    return cast("Iterable[Block]", model.blocks)


def _as_it_is(layer: nn.Module) -> Layer:
    return layer


def _pack(layer: nn.Module, rows: int) -> Layer:
    """`layer` as a function that is fast for `rows` rows; the layer itself where there is nothing to gain.

    With few rows, oneDNN spends longer on reading a row-major weight than on multiplying: in its own order it is up to twice
    as fast.
    """
    if type(layer) is not Linear or not goes_through_onednn(layer.weight, layer.weight):
        return layer
    packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight, rows)
    multiply = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: multiply(x, packed, None, "none", [], "")


def prefill(model: Transformer, cache: Cache, token_ids: Tensor, lengths: Tensor, first_row: int) -> Tensor:
    """Read prompts token_ids (M, T), padded at the end with any id, of `lengths` (M,); return the logits after each, (M, V).

    Each prompt's keys and values fill a row of the cache, from `first_row` on. What padding leaves behind stands at
    positions that no token sees before it is overwritten.
    """
    length = token_ids.shape[1]
    cos, sin = model.cos[:length], model.sin[:length]
    rows = slice(first_row, first_row + len(token_ids))
    x = model.embedding(token_ids)
    for layer, block in enumerate(blocks_of(model)):
        query, key, value = block.attention.heads(block.attention.qkv(block.attention_norm(x)), cos, sin)
        cache.keys[layer][rows, :, :length] = key.transpose(1, 2)
        cache.values[layer][rows, :, :length] = value.transpose(1, 2)
        x = x + block.attention.output(attend(query, key, value))
        x = x + block.feed_forward(block.feed_forward_norm(x))
    last = x[torch.arange(len(x), device=x.device), lengths - 1]
    logits: Tensor = model.head(model.norm(last)).float()
    return logits


def decode(network: DecodingNetwork, cache: Cache, token_ids: Tensor, lengths: Tensor, longest: int) -> Tensor:
    """Read one more token in each of the first B rows, and return the logits after it, (B, V) float32.

    token_ids and lengths are (B,): the tokens, and how many each row holds already, at most `longest`.
    """
    model, batch, live = network.model, len(token_ids), longest + 1
    cos, sin = model.cos[lengths], model.sin[lengths]  # (B, 1, C)
    x = model.embedding(token_ids)  # (B, D)
    kv_heads = model.config.n_kv_heads
    beyond = torch.arange(live, device=x.device) > lengths[:, None]
    mask = torch.zeros_like(beyond, dtype=x.dtype).masked_fill_(beyond, float("-inf"))
    mask = mask.repeat_interleave(kv_heads, dim=0)[:, None]  # (B * K, 1, live)
    # Where the new keys and values go, in the cache seen as a list of positions: row, then head, then column.
    heads = torch.arange(batch * kv_heads, device=x.device)
    places = heads * cache.positions + lengths.repeat_interleave(kv_heads)
    for layer, block in enumerate(network.blocks):
        query, key, value = block.attention.heads(block.qkv(block.attention_norm(x)), cos, sin)
        keys, values = cache.keys[layer], cache.values[layer]
        keys.view(-1, keys.shape[-1]).index_copy_(0, places, key.flatten(0, 1))
        values.view(-1, values.shape[-1]).index_copy_(0, places, value.flatten(0, 1))
        attended = attend_to_cache(query, keys[:batch].flatten(0, 1)[:, :live], values[:batch].flatten(0, 1)[:, :live], mask)
        x = x + block.output(attended)
        x = x + block.down(swiglu(block.gate_up(block.feed_forward_norm(x))))
    return network.head(model.norm(x)).float()


def attend_to_cache(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """One query position a row: query (B, H, C), keys and values (B * K, live, C), mask (B * K, 1, live) -> (B, D).

    A group of query heads shares its keys, so that the group takes the place of query positions in plain matrix products: on
    a CPU, up to four times faster than `scaled_dot_product_attention` with its blocks made for long queries.
    """
    grouped = query.reshape(len(keys), -1, query.shape[-1])  # (B * K, H / K, C)
    scores = torch.baddbmm(mask, grouped, keys.transpose(1, 2), alpha=query.shape[-1] ** -0.5)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
    return torch.bmm(weights, values).view(len(query), -1)
