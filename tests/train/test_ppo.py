"""The arithmetic of PPO: worked by hand, against TRL's own code, and as properties.

TRL's are those of trl 1.12.0: its functions, and where it has none, lines cut out of `PPOTrainer.train` and executed.
"""

from __future__ import annotations

import inspect
import math
import textwrap
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paddock.train.parallel import Ranks
from paddock.train.ppo import (
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    generalized_advantages,
    kl_k1,
    kl_k3,
    token_rewards,
    update_sums,
    whiten,
)

ALONE = Ranks(0, 1, torch.device("cpu"))
NAN = float("nan")


def tensor(rows: list) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def everything(like: Tensor) -> Tensor:
    return torch.ones_like(like, dtype=torch.bool)


@st.composite
def rollouts(draw: st.DrawFn) -> dict[str, Tensor]:
    """Numbers of up to six replies of unequal lengths, zero on padding."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    names = ("log_probs", "old_log_probs", "reference", "values", "old_values", "rewards")
    found = {name: torch.randn(mask.shape, generator=generator).where(mask, 0.0) for name in names}
    return {"mask": mask, **found, "scores": torch.randn(len(lengths), generator=generator)}


def everything_of(x: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every result of the module on one set of tensors; those of tokens are (N, L), the rest plain numbers."""
    mask = x["mask"]
    kl = kl_k1(x["log_probs"], x["reference"], mask)
    rewards = token_rewards(x["scores"], kl, mask, 0.1)
    advantages, returns = generalized_advantages(rewards, x["values"], mask, 0.9, 0.8)
    sums, largest = update_sums(x["log_probs"], x["old_log_probs"], mask, 0.2)
    return {
        "kl": kl,
        "k3": kl_k3(x["log_probs"], x["reference"], mask),
        "rewards": rewards,
        "advantages": advantages,
        "returns": returns,
        "whitened": whiten(advantages, mask, ALONE),
        "policy_loss": clipped_policy_loss(x["log_probs"], x["old_log_probs"], advantages, mask, 0.2),
        "value_loss": clipped_value_loss(x["values"], x["old_values"], returns, mask, 0.2),
        "update": torch.cat((sums, torch.tensor([largest]))),
        "explained": torch.tensor(explained_variance(x["values"], returns, mask, ALONE)),
    }


# --- by hand ---


def test_whitening_takes_the_population_variance_of_real_tokens() -> None:
    values, mask = tensor([[1, 3, 100], [5, NAN, NAN]]), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    expected = math.sqrt(3 / 8)  # mean 3, variance (4 + 0 + 4) / 3
    torch.testing.assert_close(whiten(values, mask, ALONE), tensor([[-2 * expected, 0, 0], [2 * expected, 0, 0]]))


def test_whitening_without_a_shift_keeps_the_mean() -> None:
    values, mask = tensor([[1, 3, 5]]), torch.ones(1, 3, dtype=torch.bool)
    expected = whiten(values, mask, ALONE) + 3
    torch.testing.assert_close(whiten(values, mask, ALONE, shift_mean=False), expected)


def test_whitening_equal_values_gives_zeros() -> None:
    assert whiten(torch.full((4,), 2.5), torch.ones(4, dtype=torch.bool), ALONE).tolist() == [0, 0, 0, 0]


def test_k1_is_a_difference_and_k3_is_never_negative() -> None:
    policy, reference, mask = tensor([[-1, -2, NAN]]), tensor([[-1.5, -1.0, 3]]), torch.tensor([[True, True, False]])
    torch.testing.assert_close(kl_k1(policy, reference, mask), tensor([[0.5, -1, 0]]))
    expected = [math.exp(-0.5) - 1 + 0.5, math.e - 1 - 1, 0]
    torch.testing.assert_close(kl_k3(policy, reference, mask), tensor([expected]))


def test_both_estimators_are_unbiased() -> None:
    policy, reference = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.2, 0.2, 0.6]).log()
    exact = (policy.exp() * (policy - reference)).sum()
    for estimate in (kl_k1, kl_k3):
        each = estimate(policy, reference, everything(policy))
        torch.testing.assert_close((policy.exp() * each).sum(), exact)


def test_the_score_falls_on_the_last_real_token_and_kl_on_each() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()
    kl = tensor([[1, 2, 3], [4, 5, NAN], [6, NAN, NAN]])
    rewards = token_rewards(tensor([10, 20, 30]), kl, mask, 0.1)
    torch.testing.assert_close(rewards, tensor([[-0.1, -0.2, 9.7], [-0.4, 19.5, 0], [29.4, 0, 0]]))


def test_rewards_of_a_reply_sum_to_the_papers_objective() -> None:
    mask, kl = torch.tensor([[1, 1, 1, 0]]).bool(), tensor([[0.5, -0.25, 1.0, 0]])
    assert token_rewards(tensor([2.0]), kl, mask, 0.01).sum() == pytest.approx(2.0 - 0.01 * 1.25)


def test_advantages_worked_by_hand() -> None:
    # gamma 0.5, lambda 0.5. Backwards: delta_2 = 4 - 1 = 3, A_2 = 3; delta_1 = 0 + 0.5 * 1 - 2 = -1.5, A_1 = -1.5 + 0.25 * 3
    # = -0.75; delta_0 = 1 + 0.5 * 2 - 3 = -1, A_0 = -1 + 0.25 * -0.75 = -1.1875.
    rewards, values, mask = tensor([[1, 0, 4]]), tensor([[3, 2, 1]]), torch.ones(1, 3, dtype=torch.bool)
    advantages, returns = generalized_advantages(rewards, values, mask, 0.5, 0.5)
    torch.testing.assert_close(advantages, tensor([[-1.1875, -0.75, 3]]))
    torch.testing.assert_close(returns, tensor([[1.8125, 1.25, 4]]))


def test_with_lambda_one_returns_are_the_discounted_rewards_to_come() -> None:
    rewards, values, mask = torch.randn(3, 5), torch.randn(3, 5), torch.ones(3, 5, dtype=torch.bool)
    _, returns = generalized_advantages(rewards, values, mask, 0.9, 1.0)
    to_come = [sum(0.9 ** (k - t) * rewards[:, k] for k in range(t, 5)) for t in range(5)]
    torch.testing.assert_close(returns, torch.stack(to_come, dim=1))


def test_a_masked_token_within_a_reply_is_passed_over() -> None:
    """Its value does not leak, and the reward after it is not lost."""
    gappy = torch.tensor([[True, False, True]])
    found = generalized_advantages(tensor([[1, 99, 4]]), tensor([[3, NAN, 1]]), gappy, 0.5, 0.5)
    expected = generalized_advantages(tensor([[1, 4]]), tensor([[3, 1]]), torch.ones(1, 2, dtype=torch.bool), 0.5, 0.5)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[:, [0, 2]].tolist() == theirs.tolist()
        assert ours[0, 1] == 0


def test_the_policy_loss_clips_on_the_side_that_would_gain() -> None:
    ratios, advantages = [1.5, 1.5, 0.5, 0.5, 1.1], [1.0, -1.0, 1.0, -1.0, 2.0]
    expected = -(1.2 - 1.5 + 0.5 - 0.8 + 2.2)
    log_probs = tensor(ratios).log()
    loss = clipped_policy_loss(log_probs, torch.zeros(5), tensor(advantages), torch.ones(5, dtype=torch.bool), 0.2)
    assert loss.item() == pytest.approx(expected)


def test_the_policys_gradient_is_nought_where_it_is_clipped() -> None:
    log_probs = tensor([1.5, 1.5, 0.5, 0.5, 1.1]).log().requires_grad_()
    advantages, mask = tensor([1.0, -1.0, 1.0, -1.0, 2.0]), torch.ones(5, dtype=torch.bool)
    clipped_policy_loss(log_probs, torch.zeros(5), advantages, mask, 0.2).backward()
    torch.testing.assert_close(log_probs.grad, tensor([0, 1.5, -0.5, 0, -2.2]))


def test_the_value_loss_is_the_larger_of_the_two_errors() -> None:
    values, old, returns = tensor([2.0, 2.0, 1.1]), tensor([1.0, 1.0, 1.0]), tensor([3.0, 1.0, 0.0])
    # Clipped to 1.2: errors (1, 1.8), (1, 0.2); the third has not moved far: (1.1, 1.1).
    expected = 0.5 * (1.8**2 + 1.0**2 + 1.1**2)
    assert clipped_value_loss(values, old, returns, everything(values), 0.2).item() == pytest.approx(expected)


def test_the_value_loss_without_clipping_is_half_the_squared_error() -> None:
    values, returns = tensor([2.0, 2.0]), tensor([3.0, 0.0])
    assert clipped_value_loss(values, torch.zeros(2), returns, everything(values), None).item() == pytest.approx(2.5)


def test_update_sums_count_only_real_tokens() -> None:
    log_probs, mask = tensor([[0.0, math.log(1.5), math.log(9)]]), torch.tensor([[True, True, False]])
    sums, largest = update_sums(log_probs, torch.zeros(1, 3), mask, 0.2)
    assert sums.tolist() == pytest.approx([2.5, 1, 0.5 - math.log(1.5)], rel=1e-5)
    assert largest == pytest.approx(0.5)


def test_explained_variance_by_hand() -> None:
    returns, mask = tensor([[1, 2, 3, NAN]]), torch.tensor([[True, True, True, False]])
    assert explained_variance(returns, returns, mask, ALONE) == pytest.approx(1)
    assert explained_variance(torch.full((1, 4), 7.0), returns, mask, ALONE) == pytest.approx(0)
    # Errors 1, 0, 0: variance 2/9 of 2/3.
    assert explained_variance(tensor([[0, 2, 3, 0]]), returns, mask, ALONE) == pytest.approx(1 - (2 / 9) / (2 / 3))
    assert math.isnan(explained_variance(returns, torch.ones(1, 4), mask, ALONE))


# --- against TRL's own code ---


@pytest.fixture(scope="module")
def trl() -> ModuleType:
    """trl's module of PPO; it warns that the module is experimental unless told not to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        from trl.experimental.ppo import ppo_trainer

    return ppo_trainer


def run_lines(trl: ModuleType, first: str, last: str, **names: Any) -> dict[str, Any]:
    """Execute the lines of `PPOTrainer.train` from that which begins with `first` to that which begins with `last`.

    They see `names` and trl's module. Returns all names after them.
    """
    lines = inspect.getsource(trl.PPOTrainer.train).splitlines()
    begin, end = (next(n for n, line in enumerate(lines) if line.strip().startswith(text)) for text in (first, last))
    seen = {**vars(trl), **names}
    exec(textwrap.dedent("\n".join(lines[begin : end + 1])), seen)
    return seen


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening_is_trls_but_for_its_sample_variance(trl: ModuleType, shift_mean: bool) -> None:
    values, mask = torch.randn(6, 9), torch.rand(6, 9) < 0.7
    shrunk = math.sqrt(1 - 1 / int(mask.sum()))
    mean = 0 if shift_mean else trl.masked_mean(values, mask)
    expected = ((trl.masked_whiten(values, mask, shift_mean) - mean) / shrunk + mean) * mask
    torch.testing.assert_close(whiten(values, mask, ALONE, shift_mean), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kl_estimator", ["k1", "k3"])
def test_rewards_and_advantages_are_trls_on_replies_of_full_length(trl: ModuleType, kl_estimator: str) -> None:
    """On shorter ones TRL puts the reward a place after the last token, where its value model reads padding."""
    log_probs, reference, values, scores = torch.randn(4, 6), torch.randn(4, 6), torch.randn(4, 6), torch.randn(4)
    args = SimpleNamespace(kl_estimator=kl_estimator, kl_coef=0.05, gamma=0.99, lam=0.95)
    names = {"logprobs": log_probs, "ref_logprobs": reference, "scores": scores, "args": args}
    lengths = {"sequence_lengths": torch.full((4,), 5), "sequence_lengths_p1": torch.full((4,), 6)}
    theirs = run_lines(trl, "logr = ", "rewards[actual_start", **names, **lengths)
    names = {"rewards": theirs["rewards"], "values": values, "args": args, "responses": log_probs}
    theirs |= run_lines(trl, "lastgaelam = 0", "returns = ", **names)
    mask = torch.ones(4, 6, dtype=torch.bool)
    kl = (kl_k1 if kl_estimator == "k1" else kl_k3)(log_probs, reference, mask)
    found = token_rewards(scores, kl, mask, 0.05)
    torch.testing.assert_close(found, theirs["rewards"])
    advantages, returns = generalized_advantages(found, values, mask, 0.99, 0.95)
    torch.testing.assert_close(advantages, theirs["advantages"])
    torch.testing.assert_close(returns, theirs["returns"])


def test_losses_are_trls_means_on_the_same_tensors(trl: ModuleType) -> None:
    new, old, advantages = torch.randn(5, 7) * 0.3, torch.randn(5, 7) * 0.3, torch.randn(5, 7)
    values, old_values, returns = torch.randn(5, 7), torch.randn(5, 7), torch.randn(5, 7)
    padding = torch.arange(7) >= torch.tensor([7, 3, 5, 1, 6])[:, None]
    theirs = run_lines(
        trl,
        "vpredclipped = ",
        "pg_loss = ",
        new_logprobs=new.masked_fill(padding, trl.INVALID_LOGPROB),
        mb_logprobs=old.masked_fill(padding, trl.INVALID_LOGPROB),
        mb_advantage=advantages,
        vpred=values,
        mb_values=old_values,
        mb_return=returns,
        padding_mask=padding,
        padding_mask_p1=padding,  # TRL learns one value more, of the place after the reply
        micro_batch_inds=slice(None),
        args=SimpleNamespace(cliprange=0.2, cliprange_value=0.2),
    )
    count = (~padding).sum()
    torch.testing.assert_close(clipped_policy_loss(new, old, advantages, ~padding, 0.2) / count, theirs["pg_loss"])
    ours = clipped_value_loss(values, old_values, returns, ~padding, 0.2) / count
    torch.testing.assert_close(ours, theirs["vf_loss"])
    sums, _ = update_sums(new, old, ~padding, 0.2)
    assert sums[0].item() / count == pytest.approx(trl.masked_mean(theirs["ratio"], ~padding).item())


# --- properties ---


@given(rollouts(), st.integers(0, 4), st.sampled_from([NAN, float("inf"), 1e6]))
@settings(deadline=None)
def test_padding_never_matters(x: dict[str, Tensor], more: int, filling: float) -> None:
    mask = torch.nn.functional.pad(x["mask"], (0, more))
    other = {"mask": mask, "scores": x["scores"]}
    for name, value in x.items():
        if value.ndim == 2 and name != "mask":
            other[name] = torch.nn.functional.pad(value, (0, more)).where(mask, filling)
    for name, expected in everything_of(x).items():
        found = everything_of(other)[name]
        found = found[:, : expected.shape[1]] if expected.ndim == 2 else found
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@given(rollouts(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_replies_never_matters(x: dict[str, Tensor], random) -> None:
    order = list(range(len(x["mask"])))
    random.shuffle(order)
    shuffled = everything_of({name: value[order] for name, value in x.items()})
    for name, expected in everything_of(x).items():
        wanted = expected[order] if expected.ndim == 2 else expected
        np.testing.assert_allclose(shuffled[name].numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@given(rollouts(), st.integers(1, 5))
@settings(deadline=None)
def test_losses_of_micro_batches_add_up(x: dict[str, Tensor], size: int) -> None:
    def losses(some: slice) -> Tensor:
        arguments = x["log_probs"][some], x["old_log_probs"][some], x["rewards"][some], x["mask"][some]
        value = x["values"][some], x["old_values"][some], x["rewards"][some], x["mask"][some]
        sums, _ = update_sums(arguments[0], arguments[1], arguments[3], 0.2)
        both = torch.stack((clipped_policy_loss(*arguments, 0.2), clipped_value_loss(*value, 0.2)))
        return torch.cat((both.double(), sums))

    parts = sum(losses(slice(start, start + size)) for start in range(0, len(x["mask"]), size))
    torch.testing.assert_close(parts, losses(slice(None)), rtol=1e-5, atol=1e-5)


@given(rollouts())
@settings(deadline=None)
def test_the_gradient_at_the_first_step_is_the_policy_gradient(x: dict[str, Tensor]) -> None:
    log_probs = x["log_probs"].clone().requires_grad_()
    clipped_policy_loss(log_probs, x["log_probs"], x["rewards"], x["mask"], 0.2).backward()
    torch.testing.assert_close(log_probs.grad, -x["rewards"])
