"""What a policy sampled, packed into rows, and what policy, reference and value model make of it.

The rows that give the old log-probabilities are the very rows of the training step, in the same precision: so the ratio of
the first mini-batch is exactly 1. Every model sees the sampled ids; nothing is decoded and encoded again.

Shapes: N replies, L tokens of the longest reply; B rows, T columns of a micro-batch; M sampled tokens in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paddock.text.packing import pack_sequences
from paddock.train.loop import TOKENS_AT_ONCE
from paddock.train.parallel import Ranks
from paddock.train.ppo import kl_k3

ENGINE_TOLERANCE = (
    0.1  # of a ratio of probabilities: what TRL and verl count as a token that sampling and training disagree on
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One sampled reply: `ids` hold the end token where it `ended`; `log_probs` (natural log) are the sampler's own."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    ended: bool

    @property
    def sequence(self) -> tuple[int, ...]:
        """Prompt and reply, as every model sees them."""
        return self.prompt + self.ids


@dataclass(frozen=True)
class MicroBatch:
    """Rows that one forward pass reads. `replies` says which of the rollout's replies they hold, in the rows' order."""

    replies: Tensor  # (n,) int64
    mask: Tensor  # (n, L) bool: 1 on sampled tokens
    token_ids: Tensor  # (B, T) int64
    segment_ids: Tensor | None  # (B, T) int32; None where every row holds one sequence, and causal attention is enough
    targets: Tensor  # (B, T) int64: the id that follows each
    is_sampled: Tensor  # (B, T) bool: 1 where the target was sampled

    def padded(self, flat: Tensor) -> Tensor:
        """Numbers of the sampled tokens in the rows' order, (M,), as (n, L) with zeros on padding; differentiable."""
        return flat.new_zeros(self.mask.shape).masked_scatter(self.mask, flat)


def micro_batches(replies: Sequence[Reply], first: int, longest: int, rows: int | None, ranks: Ranks) -> list[MicroBatch]:
    """Pack a mini-batch into rows as long as its longest sequence, and cut these into micro-batches.

    `first` is the place of the mini-batch in the rollout and `longest` is L. A micro-batch has at most `rows` rows (None:
    16,384 tokens). All ranks get as many, as sharded models need; where one has fewer rows, the last ones are empty.
    """
    packed = pack_sequences([reply.sequence[:-1] for reply in replies], max(len(r.sequence) - 1 for r in replies))
    targets, is_sampled = np.zeros_like(packed.token_ids), np.zeros(packed.token_ids.shape, np.bool_)
    for reply, row, start in zip(replies, packed.rows, packed.starts, strict=True):
        end = start + len(reply.sequence) - 1
        targets[row, start:end] = reply.sequence[1:]
        is_sampled[row, start + len(reply.prompt) - 1 : end] = True
    order = np.lexsort((packed.starts, packed.rows))
    lengths = np.array([len(reply.ids) for reply in replies])
    at_once = rows or max(TOKENS_AT_ONCE // packed.token_ids.shape[1], 1)
    count = max(ranks.gather(-(-len(packed.token_ids) // at_once)))

    def rows_from(array: NDArray[Any], begin: int) -> Tensor:
        some = array[begin : begin + at_once]
        return torch.from_numpy(some if len(some) else np.zeros((1, array.shape[1]), array.dtype)).to(ranks.device)

    def cut(begin: int) -> MicroBatch:
        inside = order[(packed.rows[order] >= begin) & (packed.rows[order] < begin + at_once)]
        mask = np.arange(longest) < lengths[inside][:, None]
        return MicroBatch(
            replies=torch.from_numpy(first + inside),
            mask=torch.from_numpy(mask).to(ranks.device),
            token_ids=rows_from(packed.token_ids, begin),
            segment_ids=None if len(packed.token_ids) == len(replies) else rows_from(packed.segment_ids, begin),
            targets=rows_from(targets, begin),
            is_sampled=rows_from(is_sampled, begin),
        )

    return [cut(number * at_once) for number in range(count)]


def sampled_log_probs(policy: nn.Module, rows: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """log softmax(logits / temperature) of each sampled token, and the entropy of that distribution: (n, L) each.

    Zero on padding; only the log-probabilities have a gradient. The temperature is that of sampling: without it the policy
    that is trained would not be the policy that sampled.
    """
    log_probs, entropy = policy(
        rows.token_ids, rows.segment_ids, targets=rows.targets, loss_mask=rows.is_sampled, temperature=temperature
    )
    return rows.padded(log_probs), rows.padded(entropy.detach())


def sampled_values(value_model: nn.Module, rows: MicroBatch) -> Tensor:
    """V at each sampled token, (n, L): the value of what stands before it, read where its log-probability is."""
    return rows.padded(value_model(rows.token_ids, rows.segment_ids)[rows.is_sampled])


@dataclass(frozen=True)
class Rollout:
    """An iteration's replies, with what each model said of them before the first step; (N, L) float32, zero on padding."""

    replies: Sequence[Reply]
    mini_batches: Sequence[Sequence[MicroBatch]]
    mask: Tensor  # (N, L) bool
    log_probs: Tensor
    entropy: Tensor
    reference_log_probs: Tensor
    values: Tensor


def mask_of(replies: Sequence[Reply], device: torch.device) -> Tensor:
    """(N, L) bool: 1 on the sampled tokens of each reply."""
    lengths = torch.tensor([len(reply.ids) for reply in replies], device=device)
    return torch.arange(int(lengths.max()), device=device) < lengths[:, None]


def reply_figures(rollout: Rollout, kl: Tensor, rewards: Mapping[str, Tensor], ranks: Ranks) -> dict[str, float]:
    """Means over the replies of all ranks, and over their tokens for the entropy.

    `kl` is the (N, L) k1 estimate; `rewards` are columns (N,) to average as they are; of `reward` there is `reward_std` too.
    """
    columns = {
        **rewards,
        "reward_square": rewards["reward"].square(),
        "kl": kl.sum(1),
        "kl_k3": kl_k3(rollout.log_probs, rollout.reference_log_probs, rollout.mask).sum(1),
        "entropy": rollout.entropy.sum(1),
        "reply_tokens": rollout.mask.sum(1),
        "missing_eos_share": torch.tensor([not reply.ended for reply in rollout.replies]),
        "replies": torch.ones(len(rollout.replies)),
    }
    sums = ranks.sum(torch.stack([column.double().sum().to(ranks.device) for column in columns.values()])).tolist()
    figures = dict(zip(columns, sums, strict=True))
    count, tokens = figures.pop("replies"), int(figures["reply_tokens"])
    means = {name: total / count for name, total in figures.items()}
    variance = means.pop("reward_square") - means["reward"] ** 2
    return {**means, "reward_std": math.sqrt(max(variance, 0.0)), "entropy": figures["entropy"] / tokens, "tokens": tokens}


def sampler_gap(rollout: Rollout, ranks: Ranks) -> dict[str, float]:
    """How far the sampler's log-probabilities are from those of training, over all sampled tokens of all ranks.

    The mean and the largest absolute difference, in nats, and the share of tokens whose ratio leaves [0.9, 1.1].
    """
    sampled = torch.tensor([x for reply in rollout.replies for x in reply.log_probs], device=ranks.device)
    gap = (rollout.log_probs[rollout.mask] - sampled).double()
    outside = (gap.exp() - 1).abs() > ENGINE_TOLERANCE
    sums = torch.stack((gap.abs().sum(), outside.sum().double(), rollout.mask.sum().double()))
    total, outside_count, count = ranks.sum(sums).tolist()
    return {
        "sampler_gap_mean": total / count,
        "sampler_gap_max": max(ranks.gather(gap.abs().max().item())),
        "sampler_gap_share_outside": outside_count / count,
    }
