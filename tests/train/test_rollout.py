"""What was sampled, packed: every model sees the sampled ids, each token at its own place, whatever stands beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from paddock.model.config import ModelConfig
from paddock.model.generation import generate
from paddock.model.heads import ValueModel
from paddock.model.transformer import Transformer
from paddock.protocols import Sampling
from paddock.train.parallel import Ranks
from paddock.train.rollout import (
    MicroBatch,
    Reply,
    Rollout,
    mask_of,
    micro_batches,
    reply_figures,
    sampled_log_probs,
    sampled_values,
    sampler_gap,
)

CONFIG = ModelConfig(vocab_size=40, dim=16, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=24, context_length=32)
ALONE = Ranks(0, 1, torch.device("cpu"))
END = 2


@pytest.fixture(scope="module")
def policy() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    with torch.no_grad():
        model.head.weight.mul_(20)  # far from uniform, so that a wrong temperature or place shows
    return model


@pytest.fixture(scope="module")
def replies(policy: Transformer) -> list[Reply]:
    """Replies of unequal lengths at temperature 0.7; the end token is one of the sampled ids."""
    generator = torch.Generator().manual_seed(0)
    prompts = [tuple(torch.randint(3, 40, (length,), generator=generator).tolist()) for length in (3, 9, 5, 1, 7, 4, 18)]
    sampling = Sampling(temperature=0.7, max_new_tokens=12, seed=3)
    return [
        Reply(prompt, found.token_ids, found.log_probs, found.finish_reason == "stop")
        for prompt, (found,) in zip(prompts, generate(policy, prompts, sampling, END), strict=True)
    ]


def rows_of(replies: Sequence[Reply], rows: int | None = None) -> list[MicroBatch]:
    return micro_batches(replies, 0, max(len(reply.ids) for reply in replies), rows, ALONE)


def log_probs_one_by_one(model: Transformer, replies: Sequence[Reply], temperature: float) -> list[Tensor]:
    """Without packing: each sequence alone, its logits divided by the temperature."""
    found = []
    for reply in replies:
        logits = model(torch.tensor([reply.sequence]))[0, len(reply.prompt) - 1 : -1] / temperature
        found.append(logits.log_softmax(-1).gather(-1, torch.tensor(reply.ids)[:, None])[:, 0])
    return found


def gathered(parts: Sequence[tuple[MicroBatch, Tensor]], count: int) -> list[Tensor]:
    """Tensors of micro-batches, a reply each, in the replies' order."""
    by_reply = {}
    for rows, values in parts:
        for place, mask, row in zip(rows.replies.tolist(), rows.mask, values, strict=True):
            assert row[~mask].abs().sum() == 0
            by_reply[place] = row[mask]
    assert sorted(by_reply) == list(range(count))
    return [by_reply[place] for place in range(count)]


def test_the_replies_end_and_are_cut_short(replies: list[Reply]) -> None:
    """What the other tests need: both kinds, and unequal lengths that share rows."""
    assert rows_of(replies)[0].segment_ids is not None
    assert {reply.ended for reply in replies} == {True, False}
    assert all(reply.ended == (reply.ids[-1] == END) for reply in replies)
    assert len({len(reply.ids) for reply in replies}) > 1


@pytest.mark.parametrize("rows", [None, 1, 2])
@torch.no_grad()
def test_packed_log_probs_are_those_of_each_sequence_alone(policy: Transformer, replies: list[Reply], rows: int) -> None:
    parts = [(some, sampled_log_probs(policy, some, 0.7)[0]) for some in rows_of(replies, rows)]
    found = gathered(parts, len(replies))
    for ours, theirs in zip(found, log_probs_one_by_one(policy, replies, 0.7), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_rows_of_one_sequence_each_need_no_segments(policy: Transformer) -> None:
    replies = [Reply((5, 6), (7, 8, 9), (), False), Reply((9,), (4, 5, 6, 2), (), True), Reply((3, 4), (8, 9), (), False)]
    (rows,) = rows_of(replies)
    assert rows.segment_ids is None
    found = gathered([(rows, sampled_log_probs(policy, rows, 1.0)[0])], len(replies))
    for ours, theirs in zip(found, log_probs_one_by_one(policy, replies, 1.0), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_log_probs_at_the_samplers_temperature_are_the_samplers(policy: Transformer, replies: list[Reply]) -> None:
    found = gathered([(some, sampled_log_probs(policy, some, 0.7)[0]) for some in rows_of(replies)], len(replies))
    for ours, reply in zip(found, replies, strict=True):
        torch.testing.assert_close(ours, torch.tensor(reply.log_probs), rtol=1e-4, atol=1e-4)
    wrong = gathered([(some, sampled_log_probs(policy, some, 1.0)[0]) for some in rows_of(replies)], len(replies))
    assert max((ours - torch.tensor(r.log_probs)).abs().max() for ours, r in zip(wrong, replies, strict=True)) > 0.1


@torch.no_grad()
def test_the_end_token_has_a_log_prob_and_padding_has_none(policy: Transformer, replies: list[Reply]) -> None:
    (rows,) = rows_of(replies)
    assert int(rows.is_sampled.sum()) == sum(len(reply.ids) for reply in replies)
    ends = int((rows.targets[rows.is_sampled] == END).sum())
    assert ends == sum(reply.ended for reply in replies)


@torch.no_grad()
def test_an_id_that_padding_has_too_is_a_token_like_any_other(policy: Transformer) -> None:
    """Padding is told by its segment and its mask, never by its id."""
    replies = [Reply((5, 0), (0, 7, 0), (), False), Reply((6,), (0,), (), False), Reply((8, 9, 4), (0, 2), (), True)]
    found = gathered([(some, sampled_log_probs(policy, some, 1.0)[0]) for some in rows_of(replies)], len(replies))
    for ours, theirs in zip(found, log_probs_one_by_one(policy, replies, 1.0), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_entropies_are_those_of_the_distribution_that_was_sampled_from(policy: Transformer, replies: list[Reply]) -> None:
    found = gathered([(some, sampled_log_probs(policy, some, 0.7)[1]) for some in rows_of(replies)], len(replies))
    for ours, reply in zip(found, replies, strict=True):
        logits = policy(torch.tensor([reply.sequence]))[0, len(reply.prompt) - 1 : -1] / 0.7
        torch.testing.assert_close(ours, torch.distributions.Categorical(logits=logits).entropy(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_value_stands_before_its_token(replies: list[Reply]) -> None:
    """It has seen the prompt and the tokens before, not the token itself."""
    torch.manual_seed(1)
    model = ValueModel(CONFIG)
    model.value.weight.normal_()
    found = gathered([(some, sampled_values(model, some)) for some in rows_of(replies, 1)], len(replies))
    for ours, reply in zip(found, replies, strict=True):
        for place in range(len(reply.ids)):
            seen = torch.tensor([reply.prompt + reply.ids[:place]])
            torch.testing.assert_close(ours[place], model(seen)[0, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_log_probs_have_the_same_bits_with_and_without_a_gradient(
    policy: Transformer, replies: list[Reply], precision: torch.dtype
) -> None:
    """What makes the first ratio exactly 1."""
    for rows in rows_of(replies, 2):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            with torch.no_grad():
                old, _ = sampled_log_probs(policy, rows, 0.7)
            new, _ = sampled_log_probs(policy, rows, 0.7)
        assert new.requires_grad
        assert torch.equal(old, new)


class TwoRanks(Ranks):
    """This rank, beside one that needs three micro-batches."""

    def gather(self, value: int) -> list[int]:
        return [value, 3]


def test_every_rank_gets_as_many_micro_batches(policy: Transformer, replies: list[Reply]) -> None:
    """An empty one has a loss of nought, and a gradient of nought."""
    longest = max(len(reply.ids) for reply in replies)
    parts = micro_batches(replies[:2], 0, longest, None, TwoRanks(0, 2, torch.device("cpu")))
    assert [len(part.replies) for part in parts] == [2, 0, 0]
    log_probs, _ = sampled_log_probs(policy, parts[2], 1.0)
    assert log_probs.shape == (0, longest)
    log_probs.sum().backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in policy.parameters())
    policy.zero_grad()


def a_rollout(replies: Sequence[Reply], log_probs: Tensor, reference: Tensor) -> Rollout:
    zeros = torch.zeros_like(log_probs)
    return Rollout(replies, [], mask_of(replies, torch.device("cpu")), log_probs, zeros, reference, zeros)


def test_the_gap_to_the_sampler_by_hand() -> None:
    replies = [Reply((5,), (6, 7), (-1.0, -2.0), False), Reply((5,), (8,), (-3.0,), True)]
    log_probs = torch.tensor([[-1.0, -2.05], [-2.5, 0.0]])
    found = sampler_gap(a_rollout(replies, log_probs, log_probs), ALONE)
    assert found["sampler_gap_mean"] == pytest.approx(0.55 / 3, rel=1e-5)
    assert found["sampler_gap_max"] == pytest.approx(0.5, rel=1e-5)
    assert found["sampler_gap_share_outside"] == pytest.approx(1 / 3)  # e^0.5, but not e^-0.05


def test_figures_are_means_over_replies_and_the_entropy_over_tokens() -> None:
    replies = [Reply((5,), (6, 7), (0.0, 0.0), False), Reply((5,), (8,), (0.0,), True)]
    log_probs, reference = torch.tensor([[-1.0, -1.0], [-1.0, 0.0]]), torch.tensor([[-1.5, -2.0], [-0.5, 0.0]])
    rollout = a_rollout(replies, log_probs, reference)
    rollout.entropy[:] = torch.tensor([[3.0, 2.0], [1.0, 0.0]])
    found = reply_figures(rollout, log_probs - reference, {"reward": torch.tensor([1.0, 3.0])}, ALONE)
    k3 = [math.exp(-0.5) - 1 + 0.5, math.exp(-1) - 1 + 1, math.exp(0.5) - 1 - 0.5]
    assert found == pytest.approx(
        {
            "reward": 2,
            "reward_std": 1,
            "kl": (1.5 - 0.5) / 2,
            "kl_k3": sum(k3) / 2,
            "entropy": 2,
            "reply_tokens": 1.5,
            "missing_eos_share": 0.5,
            "tokens": 3,
        },
        rel=1e-5,
    )
