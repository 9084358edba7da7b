"""A model before it has weights: what it will be, and where they come from.

Several processes divide such a model first, and then each asks for the rows that it keeps: none ever holds the whole. One
process asks for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer, Trunk

AnyTrunk = TypeVar("AnyTrunk", bound=Trunk)
Fill = Callable[[str, int, Tensor], None]
"""(name, first, rows): write the rows of the parameter `name`, from number `first` on, into the tensor `rows`."""


def whole(parameter: Tensor) -> tuple[int, Tensor]:
    """All rows of a parameter, from the first."""
    return 0, parameter


@dataclass(frozen=True)
class Blueprint(Generic[AnyTrunk]):
    """A model on the meta device, and what fills its parameters."""

    model: AnyTrunk
    fill: Fill

    @torch.no_grad()
    def build(self, device: torch.device | str = "cpu", part: Callable[[Tensor], tuple[int, Tensor]] = whole) -> AnyTrunk:
        """Give the model its weights, in place, on `device`.

        `part` gives the rows of a parameter that this process holds: the number of the first, and the tensor of them.
        """
        self.model.to_empty(device=device)
        for name, parameter in self.model.named_parameters():
            self.fill(name, *part(parameter))
        return self.model


def fresh_model(config: ModelConfig, seed: int) -> Blueprint[Transformer]:
    """A language model with weights from the seed. Each parameter has random numbers of its own, drawn on the CPU, so that
    its rows are the same wherever they are drawn.
    """
    with torch.device("meta"):
        model = Transformer(config)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    places = {name: place for place, name in enumerate(shapes)}

    def fill(name: str, first: int, rows: Tensor) -> None:
        drawn = torch.empty(shapes[name])
        sequence = np.random.SeedSequence(entropy=seed, spawn_key=(places[name],))
        generator = torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))
        model.draw(name, drawn, generator)
        rows.copy_(drawn[first : first + len(rows)])

    return Blueprint(model, fill)
