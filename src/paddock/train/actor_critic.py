"""The three networks of PPO: the policy that learns, the value model that learns beside it, the reference that stays.

They are models of their own, as in the paper; or share their lowest layers, frozen and one and the same, so that a small
machine need not hold several copies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paddock.errors import SettingsError
from paddock.model.heads import ValueModel
from paddock.model.transformer import Transformer, Trunk
from paddock.train import ppo
from paddock.train.loop import Setup, prepare
from paddock.train.optim import gradient_norm, optimizer_step
from paddock.train.parallel import Ranks, whole_tensors
from paddock.train.rollout import MicroBatch, Reply, Rollout, mask_of, micro_batches, sampled_log_probs, sampled_values
from paddock.train.settings import TrainingSettings
from paddock.train.state import restore, restore_weights, training_tensors


@dataclass(frozen=True)
class Accumulated:
    """What a mini-batch came to, over all ranks: sums over its tokens, and the largest |ratio - 1|."""

    sums: dict[str, float]
    tokens: int
    ratio_error: float
    norms_of_sums: list[Tensor]  # of the value model's gradients, and of the policy's where it learns

    def is_finite(self) -> bool:
        """Whether an update would do no harm."""
        return math.isfinite(sum(self.sums.values()) + sum(norm.item() for norm in self.norms_of_sums))

    @property
    def value_norm(self) -> float:
        """The norm of the value model's gradient of the mean loss, before clipping."""
        return self.norms_of_sums[0].item() / self.tokens

    @property
    def policy_norm(self) -> float:
        """The norm of the policy's gradient of the mean loss, before clipping; 0 where it rests."""
        return self.norms_of_sums[1].item() / self.tokens if len(self.norms_of_sums) > 1 else 0.0


def update_figures(steps: Sequence[Accumulated], learns: bool) -> dict[str, float | None]:
    """An iteration's gradient steps as `metrics.jsonl` has them: means over tokens, and the largest where it says so.

    What concerns the policy is None where it does not learn.
    """
    tokens = sum(step.tokens for step in steps)
    means = {name: sum(step.sums[name] for step in steps) / tokens for name in steps[0].sums}
    policy = {
        "policy_loss": means["policy_loss"],
        "ratio_first_error": steps[0].ratio_error,
        "ratio_mean": means["ratio"],
        "ratio_max_error": max(step.ratio_error for step in steps),
        "clip_share": means["clipped"],
        "approximate_kl": means["approximate_kl"],
        "policy_gradient_norm": max(step.policy_norm for step in steps),
    }
    return {
        **(policy if learns else dict.fromkeys(policy)),
        "value_loss": means["value_loss"],
        "value_gradient_norm": max(step.value_norm for step in steps),
    }


@dataclass(frozen=True)
class ActorCritic:
    """Policy and value model, made ready to train, and the reference: the policy as it was before PPO (the paper's pi_0)."""

    policy: Setup
    value: Setup
    reference: Transformer

    @property
    def _both(self) -> nn.ModuleDict:
        """Both learning models as one, so that what they share is saved once."""
        return nn.ModuleDict({"policy": self.policy.model, "value": self.value.model})

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on: both models' weights, both optimizers' moments, the random state."""
        both = self._both
        return training_tensors(both, self.policy.optimizer) | training_tensors(both, self.value.optimizer)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put `tensors` back. Raises CheckpointError where they belong to other models."""
        for setup in (self.policy, self.value):
            restore(self._both, setup.optimizer, tensors)

    def restore_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the weights of `tensors` back, and leave the optimizers alone."""
        restore_weights(self._both, tensors)

    def sampler(self) -> Transformer:
        """The policy as it samples now: itself on a processor; else a whole copy, in the precision of training.

        A sharded model would gather its weights anew for every token; the paper too consolidates them before it generates.
        A collective: every rank must call it.
        """
        model, ranks = self.policy.model, self.policy.ranks
        assert isinstance(model, Transformer)
        if ranks.size == 1 and ranks.device.type == "cpu":
            return model
        return self.whole_policy(self.policy.precision, ranks.device)

    def accumulate(
        self,
        rollout: Rollout,
        mini_batch: Sequence[MicroBatch],
        advantages: Tensor,
        returns: Tensor,
        *,
        temperature: float,
        clip_range: float,
        value_clip_range: float | None,
        learns: bool,
    ) -> Accumulated:
        """Forward and backward over a mini-batch, of the value model and, where it `learns`, of the policy.

        `advantages` and `returns` are (N, L), as the tensors of `rollout`.
        """
        ranks, names = self.policy.ranks, ("value_loss", "policy_loss", *ppo.UPDATE_SUMS, "tokens")
        totals, ratio_error = torch.zeros(len(names), dtype=torch.float64, device=ranks.device), 0.0
        for rows in mini_batch:
            some, mask = rows.replies, rows.mask
            with self.value.autocast():
                values = sampled_values(self.value.model, rows)
            loss = ppo.clipped_value_loss(values, rollout.values[some], returns[some], mask, value_clip_range)
            loss.backward()  # type: ignore[no-untyped-call]
            totals[0] += loss.detach()
            totals[-1] += mask.sum()
            if learns:
                with self.policy.autocast():
                    log_probs, _ = sampled_log_probs(self.policy.model, rows, temperature)
                old_log_probs = rollout.log_probs[some]
                loss = ppo.clipped_policy_loss(log_probs, old_log_probs, advantages[some], mask, clip_range)
                loss.backward()  # type: ignore[no-untyped-call]
                sums, error = ppo.update_sums(log_probs, old_log_probs, mask, clip_range)
                totals[1] += loss.detach()
                totals[2:-1] += sums
                ratio_error = max(ratio_error, error)
        sums_by_name = dict(zip(names, ranks.sum(totals).tolist(), strict=True))
        tokens = int(sums_by_name.pop("tokens"))
        norms = [gradient_norm(setup.model.parameters()) for setup in (self.value, self.policy)[: 1 + learns]]
        return Accumulated(sums_by_name, tokens, max(ranks.gather(ratio_error)), norms)

    def step(self, found: Accumulated, rate: float, value_rate: float, clip: float) -> None:
        """Update the models whose gradients were accumulated: the value model, and the policy where it learns."""
        for setup, norm, peak in zip((self.value, self.policy), found.norms_of_sums, (value_rate, rate), strict=False):
            optimizer_step(setup.optimizer, norm, found.tokens, peak, clip)

    def roll_out(self, replies: Sequence[Reply], *, temperature: float, mini_batch_size: int, rows: int | None) -> Rollout:
        """Pack this rank's `replies` into mini-batches, and evaluate the three models on each, before any step."""
        ranks = self.policy.ranks
        longest = max(len(reply.ids) for reply in replies)
        starts = range(0, len(replies), mini_batch_size)
        batches = [micro_batches(replies[s : s + mini_batch_size], s, longest, rows, ranks) for s in starts]
        mask = mask_of(replies, ranks.device)
        found = torch.zeros(4, *mask.shape, device=ranks.device)
        with torch.no_grad():
            for micro_batch in (micro_batch for batch in batches for micro_batch in batch):
                with self.policy.autocast():
                    log_probs, entropy = sampled_log_probs(self.policy.model, micro_batch, temperature)
                    reference_log_probs, _ = sampled_log_probs(self.reference, micro_batch, temperature)
                    values = sampled_values(self.value.model, micro_batch)
                found[:, micro_batch.replies] = torch.stack((log_probs, entropy, reference_log_probs, values))
        log_probs, entropy, reference_log_probs, values = found
        return Rollout(replies, batches, mask, log_probs, entropy, reference_log_probs, values)

    def whole_policy(self, dtype: torch.dtype, device: torch.device | str) -> Transformer:
        """A copy of the policy's whole weights. A collective: every rank must call it."""
        with torch.device("meta"):
            copy = Transformer(self.reference.config)
        weights = copy.to(dtype).to_empty(device=device).state_dict()
        for name, tensor in whole_tensors(self.policy.model):
            weights[name].copy_(tensor)
        return copy


def make_ready(
    policy: Transformer,
    reference: Transformer,
    value: ValueModel,
    settings: TrainingSettings,
    ranks: Ranks,
    *,
    tokens: int,
    shared_layers: int,
) -> ActorCritic:
    """Make three models of one shape ready, in place: `reference` has the weights of `policy`, and is frozen.

    `tokens` is what they will be trained on, for the estimate of time. Raises SettingsError where `shared_layers` cannot be.
    """
    if shared_layers:
        if ranks.size > 1:
            raise SettingsError("shared_layers is for one process: sharding divides each model by itself. Set it to 0")
        for other, name in ((reference, "the reference"), (value, "the value model")):
            share_lowest(policy, other, shared_layers, name)
    reference.requires_grad_(False)
    policy_setup, value_setup = (prepare(model, settings, ranks, tokens) for model in (policy, value))
    return ActorCritic(policy_setup, value_setup, reference)


def share_lowest(policy: Trunk, other: Trunk, layers: int, name: str) -> None:
    """Give `other` the embedding and the `layers` lowest blocks of `policy`, frozen: one copy serves both.

    Raises SettingsError where they are not the same weights to begin with, for then `other` would become another model.
    """
    fewest = min(len(policy.blocks), len(other.blocks))
    if layers > fewest:
        raise SettingsError(f"shared_layers is {layers}, and the policy or {name} has {fewest} layers")
    pairs = [(policy.embedding, other.embedding), *zip(policy.blocks[:layers], other.blocks[:layers], strict=False)]
    for place, (ours, theirs) in enumerate(pairs):
        for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
            if not torch.equal(mine, its):
                part = f"layer {place}" if place else "the embedding"
                raise SettingsError(
                    f"shared_layers is {layers}, and {name} differs from the policy in {part}: one copy cannot serve both. "
                    "Start both from one checkpoint (set value_model to the policy's folder), or set shared_layers to 0"
                )
        ours.requires_grad_(False)
    other.embedding = policy.embedding
    for layer in range(layers):
        other.blocks[layer] = policy.blocks[layer]
