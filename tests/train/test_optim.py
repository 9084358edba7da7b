"""The optimizer, its schedule and its step."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.train.optim import build_optimizer, default_warmup, gradient_norm, learning_rate, optimizer_step

CONFIG = ModelConfig(vocab_size=64, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=48, context_length=16)


def test_learning_rate_rises_to_the_peak_and_falls_to_a_tenth_along_a_cosine() -> None:
    rates = [learning_rate(step, 110, 1.0, 10, 0.1) for step in range(1, 111)]
    assert rates[4] == pytest.approx(0.5)
    assert rates[9] == pytest.approx(1.0)
    assert rates[59] == pytest.approx(0.55)  # halfway between the peak and a tenth of it
    assert rates[34] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    assert rates[-1] == pytest.approx(0.1)


def test_learning_rate_equals_torchs_cosine_schedule() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=3e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=3e-5)
    for step in range(1, 51):
        optimizer.step()
        schedule.step()
        assert learning_rate(step, 50, 3e-4, 0, 0.1) == pytest.approx(optimizer.param_groups[0]["lr"])


@given(st.integers(1, 10**6), st.integers(0, 3000))
def test_learning_rate_is_never_zero_nor_above_the_peak(steps: int, warmup_steps: int) -> None:
    for step in {1, warmup_steps, warmup_steps + 1, steps // 2, steps} - {0}:
        if step <= steps:
            assert 0 < learning_rate(step, steps, 1e-3, warmup_steps, 0.1) <= 1e-3


@pytest.mark.parametrize(("steps", "warmup"), [(500_000, 2000), (1000, 30), (10, 1)])
def test_warmup_is_the_papers_2000_steps_or_three_percent_of_a_short_run(steps: int, warmup: int) -> None:
    assert default_warmup(steps) == warmup


def test_matrices_decay_and_norms_do_not() -> None:
    model = Transformer(CONFIG)
    decay = {p: group["weight_decay"] for group in build_optimizer(model, 0.1).param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert decay[parameter] == (0.0 if "norm" in name else 0.1), name
    assert decay[model.embedding.weight] == 0.1


def test_a_step_on_summed_gradients_equals_torchs_own_on_the_mean() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    theirs.load_state_dict(ours.state_dict())
    count = 37
    mine = build_optimizer(ours, 0.1)
    reference = torch.optim.AdamW(
        [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        eps=1e-5,
        foreach=False,
        fused=False,
    )
    for step in range(5):
        inputs = torch.randn(count, 8) * (10.0 if step % 2 else 0.01)  # with and without clipping
        ours(inputs).square().sum().backward()
        norm = gradient_norm(ours.parameters())
        optimizer_step(mine, norm, count, 1e-2, clip=1.0)
        (theirs(inputs).square().sum() / count).backward()
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        for group in reference.param_groups:
            group["lr"] = 1e-2
        reference.step()
        reference.zero_grad()
        torch.testing.assert_close(norm / count, expected)
        torch.testing.assert_close(ours.weight, theirs.weight)
        torch.testing.assert_close(ours.bias, theirs.bias)
