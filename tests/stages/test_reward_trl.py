"""The loss of reward models against that of trl's RewardTrainer, on the same scores."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from paddock.stages.reward import ranking_loss


def loss_of_trl(chosen: Tensor, rejected: Tensor, margins: Tensor | None) -> Tensor:
    """`RewardTrainer.compute_loss`, with a model that gives these scores, and as much of a trainer as it looks at."""
    from trl import RewardTrainer

    scores = torch.cat((chosen, rejected))[:, None]
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
        _metrics={"eval": defaultdict(list)},
        _total_train_tokens=0,
    )
    inputs = {} if margins is None else {"margin": margins}
    return RewardTrainer.compute_loss(trainer, lambda **_: SimpleNamespace(logits=scores), inputs)


@pytest.mark.parametrize("with_margins", [True, False])
def test_the_ranking_loss_and_its_gradient_are_trls(with_margins: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    chosen, rejected = torch.randn(2, 9, generator=generator).mul(2).requires_grad_().unbind()
    margins = torch.rand(9, generator=generator) * 3 if with_margins else None
    ours = ranking_loss(chosen, rejected, torch.zeros(9) if margins is None else margins) / 9
    theirs = loss_of_trl(chosen, rejected, margins)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(*(torch.autograd.grad(loss, (chosen, rejected)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other)
