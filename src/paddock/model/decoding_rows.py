"""The rows of a batch that is being decoded, and the samples that share them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Sample(NamedTuple):
    """A completion on its way: the prompt and its number among the prompt's samples, and its random numbers, one a token."""

    prompt: int
    number: int
    uniform: list[float]


class Rows:
    """What is known of each row being decoded; the first `len(samples)` rows are in use. R rows, N new tokens at most.

    A row belongs to all samples of a prompt whose ids are the same so far. Where they choose different tokens, it forks.
    """

    def __init__(self, rows: int, most_new: int, device: torch.device) -> None:
        self.samples: list[list[Sample]] = []  # of each row
        self.last = torch.zeros(rows, dtype=torch.int64, device=device)  # the token not yet read
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)  # tokens in the cache
        self.made = torch.zeros(rows, dtype=torch.int64, device=device)  # tokens sampled
        self.limits = torch.zeros(rows, dtype=torch.int64, device=device)
        self.token_ids = torch.zeros(rows, most_new, dtype=torch.int64, device=device)
        self.log_probs = torch.zeros(rows, most_new, device=device)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Copy rows `source` (M,) onto rows `target` (M,)."""
        for tensor in (self.last, self.lengths, self.made, self.limits, self.token_ids, self.log_probs):
            tensor[target] = tensor[source]

    def uniform(self, first: int) -> Tensor:
        """The next random number of each sample of the rows from `first` on, (B, most samples of a row)."""
        rows = self.samples[first:]
        numbers = np.zeros((len(rows), max(map(len, rows))), np.float32)
        for row, (samples, made) in enumerate(zip(rows, self.made[first : len(self.samples)].tolist(), strict=True)):
            numbers[row, : len(samples)] = [sample.uniform[made] for sample in samples]
        return torch.from_numpy(numbers).to(self.last.device)

    def fork(self, first: int, tokens: list[list[int]]) -> tuple[list[int], list[int]]:
        """Give samples of the rows from `first` on whose next `tokens` differ from their row's first one rows of their own.

        Returns, of each row from `first` on and then of each new one, the row that it comes from and the place of one of its
        samples there. What the rows hold is the caller's to copy.
        """
        sources, places = [], []
        forks: list[tuple[int, int, list[Sample]]] = []
        for row, (samples, chosen) in enumerate(zip(self.samples[first:], tokens, strict=True), start=first):
            by_token: dict[int, list[int]] = {}
            for place in range(len(samples)):
                by_token.setdefault(chosen[place], []).append(place)
            (kept, *_), *others = by_token.values()
            sources.append(row)
            places.append(kept)
            forks += [(row, other[0], [samples[place] for place in other]) for other in others]
            if others:
                self.samples[row] = [sample for place, sample in enumerate(samples) if chosen[place] == chosen[kept]]
        self.samples += [samples for _, _, samples in forks]
        return [*sources, *(row for row, _, _ in forks)], [*places, *(place for _, place, _ in forks)]
