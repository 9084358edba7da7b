"""How much later tokens look back at a system message (paper, Figures 9 and 10), for any Llama-format checkpoint of ours.

Of the attention of each token to each earlier one, the maximum over all layers and heads is kept, and neighbouring tokens
are put together in bins, again by their maximum. Layers come one after the other, and queries in blocks: at no time are the
attentions of two layers, or of a whole layer, held. Shapes: T tokens, H heads, K key/value heads, C head width, Q queries of
a block, N bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paddock.model.transformer import Block, Transformer
from paddock.text.chat_format import BEGIN_INSTRUCTION, BEGIN_SYSTEM, encode_dialog
from paddock.text.dialog import Dialog
from paddock.text.scripts import Slot
from paddock.text.tokenizer import Tokenizer

QUERIES_AT_A_TIME = 256
BINS = 64


@dataclass(frozen=True)
class Attention:
    """The attention of one dialog's tokens.

    `picture` (N, N) is by bin of the later token and bin of the earlier one, 0 above the diagonal; `to_system` (T,) is each
    token's maximum over layers, heads and the tokens of the system message; `turns` (T,) the turn of each token, from 1;
    `system` the message's first token and the one after its last.
    """

    picture: NDArray[np.float32]
    to_system: NDArray[np.float32]
    turns: NDArray[np.int64]
    system: tuple[int, int]

    def by_turn(self) -> dict[int, float]:
        """The mean over a turn's tokens of their maximum attention to the system message, from the second turn on."""
        last = int(self.turns.max())
        return {turn: float(self.to_system[self.turns == turn].mean()) for turn in range(2, last + 1)}


def turns_within(tokenizer: Tokenizer, dialog: Dialog, context: int) -> int:
    """How many whole turns of a finished dialog `context` tokens hold: each ends with an EOS."""
    ids = np.asarray(encode_dialog(tokenizer, dialog).ids[:context])
    return int(np.count_nonzero(ids == tokenizer.eos_id))


def attention_of(model: Transformer, tokenizer: Tokenizer, dialog: Dialog, asked: str, slot: Slot) -> Attention:
    """Read a finished dialog that fits the model's context, and whose first turn carries the instruction `asked`."""
    ids = np.asarray(encode_dialog(tokenizer, dialog).ids)
    assert len(ids) <= model.config.context_length, "the turns that fit are to be chosen before (turns_within)"
    begin, end = system_span(tokenizer, ids.tolist(), asked, slot)
    picture, to_system = maximum_attention(model, ids, (begin, end), BINS)
    return Attention(picture, to_system, np.cumsum(ids == tokenizer.bos_id), (begin, end))


def system_span(tokenizer: Tokenizer, ids: Sequence[int], asked: str, slot: Slot) -> tuple[int, int]:
    """The first token of the instruction in a dialog's ids, and the one after its last: where texts that end before it, and
    with it, part from the dialog. A token that the instruction shares with what follows is not counted."""
    before = f"{BEGIN_INSTRUCTION} {BEGIN_SYSTEM}\n" if slot == "system" else f"{BEGIN_INSTRUCTION} "
    begin, end = (_shared(ids, tokenizer.encode(text, bos=True)) for text in (before, before + asked.strip()))
    return begin, max(end, begin + 1)


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


@torch.inference_mode()
def maximum_attention(
    model: Transformer, ids: NDArray[np.int64], span: tuple[int, int], bins: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The picture of at most `bins` bins, and (T,) the maximum attention to the tokens of `span`, of ids (T,)."""
    device = model.embedding.weight.device
    size = -(-len(ids) // bins)  # tokens of a bin
    count = -(-len(ids) // size)
    bin_of = torch.arange(len(ids), device=device) // size
    picture = torch.zeros(count, count, device=device)
    to_span = torch.zeros(len(ids), device=device)
    for first, probabilities in _blocks(model, torch.as_tensor(ids, device=device)):
        rows = bin_of[first : first + len(probabilities)]
        by_key = probabilities.new_zeros(len(probabilities), count)
        by_key.scatter_reduce_(1, bin_of.expand_as(probabilities), probabilities, "amax")
        picture.scatter_reduce_(0, rows[:, None].expand_as(by_key), by_key, "amax")
        seen = to_span[first : first + len(probabilities)]
        torch.maximum(seen, probabilities[:, slice(*span)].amax(dim=1), out=seen)
    return picture.cpu().numpy(), to_span.cpu().numpy()


def _blocks(model: Transformer, ids: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Layer by layer: the number of a block's first query, and the maximum over heads of its attention (Q, T), float32."""
    length = len(ids)
    x = model.embedding(ids)[None]
    cos, sin = model.cos[:length], model.sin[:length]
    places = torch.arange(length, device=ids.device)
    for block in cast(Iterable[Block], model.blocks):
        attention = block.attention
        query, key, _ = attention.heads(attention.qkv(block.attention_norm(x)), cos, sin)
        keys = key[0].float().repeat_interleave(query.shape[2] // key.shape[2], dim=1)  # (T, H, C)
        for first in range(0, length, QUERIES_AT_A_TIME):
            some = query[0, first : first + QUERIES_AT_A_TIME].float()
            scores = torch.einsum("qhc,thc->hqt", some, keys) / math.sqrt(query.shape[-1])
            later = places > places[first : first + len(some), None]
            yield first, scores.masked_fill_(later, float("-inf")).softmax(dim=-1).amax(dim=0)
        x = block(x, cos, sin, None)
