"""The local scorer: a reward model over finished dialogs, in batches of like length."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from paddock.model.generation import TOKENS_AT_A_TIME, pad
from paddock.model.heads import RewardModel
from paddock.text.chat_format import encode_dialogs
from paddock.text.dialog import Dialog
from paddock.text.tokenizer import Tokenizer


class LocalScorer:
    """A RewardModel and its tokenizer as a `Scorer`. Scores are raw logits, whatever stands beside them in a batch."""

    def __init__(self, model: RewardModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def score(self, dialogs: Sequence[Dialog]) -> list[float | None]:
        """One score a dialog that ends with an answer; None where it is longer than the model's context.

        Raises DataError for a dialog that has no place in the chat format.
        """
        sequences = [encoded.ids for encoded in encode_dialogs(self.tokenizer, dialogs)]
        fitting = [number for number, ids in enumerate(sequences) if len(ids) <= self.model.config.context_length]
        scores: list[float | None] = [None] * len(sequences)
        for number, score in zip(fitting, self.score_ids([sequences[n] for n in fitting]), strict=True):
            scores[number] = score
        return scores

    @torch.inference_mode()
    def score_ids(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """The score at the last id of each sequence of 1 to `context_length` ids, such as a policy sampled them."""
        device = self.model.embedding.weight.device
        order = sorted(range(len(sequences)), key=lambda number: len(sequences[number]))
        scores = [0.0] * len(sequences)
        while order:
            # A row is padded at its end, which no earlier token sees: so a score does not depend on its batch.
            at_a_time = max(1, TOKENS_AT_A_TIME // len(sequences[order[-1]]))
            some, order = order[-at_a_time:], order[:-at_a_time]
            ends = torch.tensor([len(sequences[number]) - 1 for number in some], device=device)
            every_place = self.model(pad([sequences[number] for number in some], device))
            for number, score in zip(some, every_place.gather(1, ends[:, None])[:, 0].tolist(), strict=True):
                scores[number] = score
        return scores
