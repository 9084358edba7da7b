"""The local scorer: a reward model over finished dialogs, in batches of rows of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from paddock.model.generation import TOKENS_AT_A_TIME
from paddock.model.heads import RewardModel
from paddock.model.transformer import Branches
from paddock.text.branches import BranchedRows, Group, groups_of
from paddock.text.chat_format import encode_dialogs
from paddock.text.dialog import Dialog
from paddock.text.tokenizer import Tokenizer

SHARED_ROW = 256  # tokens; or twice the longest sequence: attention's cost grows with the square of a row's tokens


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
        """The score at the last id of each sequence of 1 to `context_length` ids, such as a policy sampled them.

        Sequences that are the same, as a sure policy's replies to one prompt are, are read once; and those that begin alike
        share a row, and their beginning is read once.
        """
        places = {ids: place for place, ids in enumerate(dict.fromkeys(map(tuple, sequences)))}
        scores = self._score_each(list(places))
        return [scores[places[tuple(ids)]] for ids in sequences]

    def _score_each(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        scores = [0.0] * len(sequences)
        longest = max(SHARED_ROW, 2 * max(map(len, sequences), default=0))
        longest = min(longest, self.model.config.context_length)
        groups = sorted(groups_of(sequences, longest), key=lambda group: group.tokens)
        while groups:
            at_a_time = max(1, TOKENS_AT_A_TIME // groups[-1].tokens)
            some, groups = groups[-at_a_time:], groups[:-at_a_time]
            for number, score in self._score_rows(sequences, some):
                scores[number] = score
        return scores

    def _score_rows(self, sequences: Sequence[Sequence[int]], groups: Sequence[Group]) -> Iterator[tuple[int, float]]:
        """The number and the score of every member of `groups`, a group a row."""
        # A row is padded at its end, which no earlier token sees: so a score does not depend on its batch.
        device = self.model.embedding.weight.device
        rows = BranchedRows.empty(len(groups), max(group.tokens for group in groups))
        places = []  # (number, row, column of its last id)
        for row, (members, shared, _) in enumerate(groups):
            rests = [sequences[number][shared:] for number in members]
            ends = rows.place(row, 0, sequences[members[0]][:shared], rests)
            places += [(number, row, end) for number, end in zip(members, ends, strict=True)]
        token_ids, *rest = (
            torch.from_numpy(array).to(device)
            for array in (rows.token_ids, rows.segment_ids, rows.beginning_ids, rows.positions)
        )
        is_plain = all(len(group.members) == 1 for group in groups)  # causal attention is enough
        at_every_place = self.model(token_ids) if is_plain else self.model(token_ids, rest[0], Branches(*rest[1:]))
        numbers, in_rows, columns = zip(*places, strict=True)
        yield from zip(numbers, at_every_place[list(in_rows), list(columns)].tolist(), strict=True)
