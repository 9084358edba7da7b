"""Perplexity of a model on documents.

A document is BOS and its tokens; each token is scored once, given what stands before it in its window. A document longer
than the context is cut in windows that share one token, so that only the first token of all, BOS, is never scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F

from paddock.errors import DataError
from paddock.model.transformer import Transformer
from paddock.text.tokenizer import Tokenizer

WINDOWS_A_BATCH = 16


@dataclass(frozen=True, slots=True)
class Perplexity:
    """`loss` is the mean, in nats a token, of -log p; `bits_per_byte` compares models of different tokenizers."""

    documents: int
    tokens: int
    bytes: int
    loss: float
    perplexity: float
    bits_per_byte: float


@torch.inference_mode()
def perplexity(model: Transformer, tokenizer: Tokenizer, documents: Iterable[str], name: str = "data") -> Perplexity:
    """Score every document under `model`, on the device where it is.

    Raises DataError, with `name` as the place, where there is nothing to score.
    """
    device = next(model.parameters()).device
    model.eval()
    counted, loss_sum, tokens, size = 0, 0.0, 0, 0

    def count(texts: Iterable[str]) -> Iterator[list[int]]:
        nonlocal counted, size
        for text in texts:
            counted, size = counted + 1, size + len(text.encode())
            yield from windows(tokenizer.encode(text, bos=True), model.config.context_length)

    for batch in batches(count(documents)):
        rows = torch.tensor(batch, device=device)
        logits = model(rows[:, :-1])
        loss_sum += F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
        tokens += rows[:, 1:].numel()
    if not tokens:
        raise DataError(name, "holds no text to score")
    loss = loss_sum / tokens
    return Perplexity(counted, tokens, size, loss, math.exp(loss), loss_sum / math.log(2) / size)


def windows(ids: list[int], context: int) -> Iterator[list[int]]:
    """Cut ids in windows of at most `context` inputs and one target more; the last token of one is the first of the next."""
    for start in range(0, len(ids) - 1, context):
        yield ids[start : start + context + 1]


def batches(rows: Iterable[list[int]]) -> Iterator[list[list[int]]]:
    """Gather neighbours of equal length, which need no padding."""
    for _, equal in groupby(rows, key=len):
        batch: list[list[int]] = []
        for row in equal:
            batch.append(row)
            if len(batch) == WINDOWS_A_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch
