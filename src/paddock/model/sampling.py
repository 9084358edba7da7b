"""Choosing the next token from logits. B rows, V vocabulary.

A row's random numbers come from a counter-based generator keyed by seed, prompt and sample, one uniform number a token, and
pick a token by the inverse of the cumulative distribution. So a completion does not depend on the batch that it stood in,
and a step costs one number a sample instead of one a logit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from paddock.errors import PaddockError
from paddock.protocols import Sampling

SORTED_PREFIX = 64  # how many of the most probable tokens top-p looks at before it sorts them all


def uniform_numbers(seed: int, prompt: int, sample: int, count: int) -> Tensor:
    """The first `count` random numbers of one completion, (count,) float32 in [0, 1)."""
    key = np.random.SeedSequence(entropy=seed, spawn_key=(prompt, sample))
    return torch.from_numpy(np.random.Generator(np.random.Philox(key)).random(count, dtype=np.float32))


def choose(logits: Tensor, uniform: Tensor, sampling: Sampling, vocabulary: int | None = None) -> tuple[Tensor, Tensor]:
    """The next token of each sample and its log-probability: logits (B, V) float32, uniform (B,) or (B, N), for N samples of
    each row, in [0, 1) -> tokens int64 and log-probabilities float32 of the shape of `uniform`.

    Tokens are below `vocabulary`, how many ids the tokenizer has; None: it has all V. The log-probability is that of
    softmax(logits / temperature) over all V, before anything cuts the distribution: what training at that temperature works
    out for the same token. Greedy choices (temperature 0) have it at temperature 1. Raises PaddockError where logits are not
    finite.
    """
    if sampling.temperature == 0:
        all_log_probs, best = logits.log_softmax(dim=-1), logits[:, :vocabulary].argmax(dim=-1)
        check_finite(all_log_probs)
        tokens = best.view(-1, *[1] * (uniform.ndim - 1)).expand(uniform.shape)
        return tokens, picked(all_log_probs, tokens)
    scaled = logits / sampling.temperature
    probabilities = torch.softmax(scaled[:, :vocabulary], dim=-1)
    check_finite(probabilities)
    tokens = inverse_cumulative(truncate(probabilities, sampling.top_k, sampling.top_p), uniform)
    if probabilities.shape == scaled.shape:
        return tokens, picked(probabilities, tokens).log()
    return tokens, picked(scaled.log_softmax(dim=-1), tokens)


def picked(values: Tensor, tokens: Tensor) -> Tensor:
    """What `values` (B, V) holds for `tokens` (B,) or (B, N), in their shape."""
    return values.gather(-1, tokens.view(len(values), -1)).view(tokens.shape)


def check_finite(distributions: Tensor) -> None:
    """Raise PaddockError where a row of `distributions` (B, V) is NaN. Softmax spreads it over its row: one place tells."""
    if distributions[:, 0].isnan().any():
        raise PaddockError(
            "the model's logits are not finite, so there is no token to choose. Either its weights hold NaN or infinity: "
            "take an earlier checkpoint, or fetch the model again. Or its numbers overflow, as float16 does beyond 65,504: "
            "convert it to bfloat16 or float32"
        )


def truncate(probabilities: Tensor, top_k: int, top_p: float) -> Tensor:
    """Zero all but the `top_k` most probable tokens, then all but the fewest that hold `top_p` of what is left.

    A `top_k` of 0 keeps all; ties with the last token kept are kept as well. The result, (B, V), does not sum to 1.
    """
    kept = probabilities
    if 0 < top_k < kept.shape[-1]:
        kept = kept.where(kept >= kept.topk(top_k, dim=-1).values[:, -1:], 0.0)
    if top_p < 1:
        kept = kept.where(kept >= nucleus_threshold(kept, top_p), 0.0)
    return kept


def nucleus_threshold(probabilities: Tensor, top_p: float) -> Tensor:
    """The least probability in each row's nucleus (Holtzman et al. 2020), (B, 1)."""
    wanted = top_p * probabilities.sum(dim=-1, keepdim=True)
    size = min(SORTED_PREFIX, probabilities.shape[-1])
    most_probable = probabilities.topk(size, dim=-1).values
    if (most_probable.sum(dim=-1, keepdim=True) < wanted).any():
        most_probable = probabilities.sort(dim=-1, descending=True).values
    sum_before = most_probable.cumsum(dim=-1) - most_probable
    in_nucleus = (sum_before < wanted).sum(dim=-1, keepdim=True).clamp(min=1)
    return most_probable.gather(-1, in_nucleus - 1)


def inverse_cumulative(weights: Tensor, uniform: Tensor) -> Tensor:
    """The tokens at which the cumulative weights (B, V) pass `uniform`, (B,) or (B, N), of their sum, in its shape.

    A token of weight 0 is never chosen.
    """
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:]
    below_total = torch.nextafter(total, torch.zeros_like(total))
    wanted = torch.minimum(uniform.view(len(weights), -1) * total, below_total)
    return torch.searchsorted(cumulative, wanted, right=True).view(uniform.shape)
