"""Encoded preferences on disk, and the batch of each training step of a reward model as a pure function of it.

Shapes: B rows of T tokens, at most P pairs in a row. Both replies of a pair, each with the prompt before it, stand in one
row as two segments, so that one forward pass scores them (paper section 3.2.2). A step shows `batch_size` pairs, packed into
a number of rows that is the same for every step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError
from paddock.run_dir import atomic_folder
from paddock.text.chat_format import Encoded, encode_dialogs
from paddock.text.dialog import DOMAINS, PREFERENCE_RATINGS, Dialog, Message, Preference
from paddock.text.packing import PADDING, StoreSummary, TokenStore, epoch_order, pack
from paddock.text.tokenizer import Tokenizer

OverlongPair = Literal["refuse", "skip"]

PAIRS_AT_A_TIME = 1024
UNKNOWN = -1
LABELS = np.dtype(
    [
        *((name, np.int8) for name in ("rating", "domain", "chosen_safe", "rejected_safe")),
        *((name, np.int32) for name in ("turns", "prompt_tokens")),  # messages of the user; tokens before the reply
    ]
)
SHORTEST_ROW = 256  # tokens: shorter rows would leave the processor idle
ROWS_IN_STEPS_OF = 8  # so that a process's rows divide into equal micro-batches


class EncodedPair(NamedTuple):
    """The ids of prompt and reply, for either reply, and what is known of the pair, `LABELS`; -1: not known."""

    chosen: Sequence[int]
    rejected: Sequence[int]
    labels: tuple[int, ...]
    source: str

    @property
    def tokens(self) -> int:
        """Tokens of both dialogs."""
        return len(self.chosen) + len(self.rejected)

    @property
    def prompt_tokens(self) -> int:
        """Tokens before the reply, the same for both."""
        return self.labels[-1]


def encode_pairs(tokenizer: Tokenizer, preferences: Iterable[Preference]) -> Iterator[EncodedPair]:
    """Encode each preference's two dialogs in the chat format, in order, streaming."""
    stream = iter(preferences)
    while chunk := list(islice(stream, PAIRS_AT_A_TIME)):
        dialogs = (
            Dialog((*preference.prompt, Message("assistant", reply)), source=preference.source)
            for preference in chunk
            for reply in (preference.chosen, preference.rejected)
        )
        encoded = list(encode_dialogs(tokenizer, dialogs))
        for preference, (chosen, bears_loss), (rejected, _) in zip(chunk, encoded[::2], encoded[1::2], strict=True):
            assert bears_loss is not None
            prompt_tokens = len(bears_loss) - bears_loss[::-1].index(False)
            yield EncodedPair(chosen, rejected, _labels(preference, prompt_tokens), preference.source)


def _labels(preference: Preference, prompt_tokens: int) -> tuple[int, ...]:
    rating = UNKNOWN if preference.rating is None else PREFERENCE_RATINGS.index(preference.rating)
    domain = UNKNOWN if preference.domain is None else DOMAINS.index(preference.domain)
    safe = (UNKNOWN if flag is None else int(flag) for flag in (preference.chosen_safe, preference.rejected_safe))
    turns = sum(message.role == "user" for message in preference.prompt)
    return (rating, domain, *safe, turns, prompt_tokens)


@dataclass(frozen=True)
class PairStore:
    """Encoded pairs on disk: a TokenStore of sequences, chosen and rejected in turn, and the labels of each pair."""

    tokens: TokenStore
    labels: NDArray[np.void]  # (pairs,) of LABELS

    @staticmethod
    def write(folder: Path, pairs: Iterable[EncodedPair], vocab_size: int) -> StoreSummary:
        """Write `pairs` to `folder` as they come, whole or not at all. Raises EmptyDataError where there are none."""
        labels: list[tuple[int, ...]] = []

        def sequences() -> Iterator[Encoded]:
            for pair in pairs:
                labels.append(pair.labels)
                yield Encoded(pair.chosen)
                yield Encoded(pair.rejected)

        with atomic_folder(folder) as temporary:
            summary = TokenStore.write(temporary / "tokens", sequences(), vocab_size)
            np.save(temporary / "labels.npy", np.array(labels, LABELS))
        return summary

    @staticmethod
    def open(folder: Path) -> PairStore:
        """Map a store into memory."""
        return PairStore(TokenStore.open(folder / "tokens"), np.load(folder / "labels.npy"))

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(pairs,) tokens of both dialogs of each pair."""
        return np.diff(self.tokens.offsets[::2])


@dataclass(frozen=True)
class PairBatch:
    """The rows of one optimizer step, or a share of them. Where a row holds fewer than P pairs, ends are -1."""

    token_ids: NDArray[np.int64]  # (B, T)
    segment_ids: NDArray[np.int32]  # (B, T) 1.. the reply within the row, 0 padding
    chosen_ends: NDArray[np.int64]  # (B, P) the column of the last token of the chosen dialog
    rejected_ends: NDArray[np.int64]  # (B, P)
    labels: NDArray[np.void]  # (B, P) of LABELS
    sources: tuple[str, ...]  # what each row holds, in words

    @property
    def filled(self) -> int:
        """How many rows hold anything: the first ones."""
        return len(self.sources) - self.sources.count(PADDING)

    def rows(self, start: int, stop: int) -> PairBatch:
        """The rows from `start` up to `stop`."""
        some = slice(start, stop)
        return PairBatch(
            self.token_ids[some],
            self.segment_ids[some],
            self.chosen_ends[some],
            self.rejected_ends[some],
            self.labels[some],
            self.sources[some],
        )


class PackedPairs:
    """Batches of `batch_size` pairs. Each epoch has an order of its own; its last batch has what is left."""

    def __init__(
        self, store: PairStore, batch_size: int, context: int, seed: int, epochs: int = 1, processes: int = 1
    ) -> None:
        """Plan the rows of `epochs` epochs, a number that `processes` divide. Every pair must fit into `context` tokens."""
        self.store, self.batch_size, self.seed = store, batch_size, seed
        self.lengths = store.lengths
        assert self.lengths.max() <= context, "over-long pairs are left out before"
        self.width = int(min(context, max(self.lengths.max(), SHORTEST_ROW)))
        self._plans = [plan for epoch in range(epochs) for plan in self._plans_of(epoch)]
        rows = max(len(row_offsets) - 1 for row_offsets, _ in self._plans)
        parts = math.lcm(ROWS_IN_STEPS_OF, processes)
        self.rows = -(-rows // parts) * parts
        self.pairs_in_a_row = max(int(np.diff(row_offsets).max()) for row_offsets, _ in self._plans)

    @property
    def fill(self) -> float:
        """The share of all places that hold a token."""
        return self.tokens_per_epoch / (self.steps_per_epoch * self.rows * self.width)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show every pair once."""
        return -(-len(self.store) // self.batch_size)

    @property
    def tokens_per_epoch(self) -> int:
        """Tokens of an epoch."""
        return int(self.lengths.sum())

    def batch(self, step: int) -> PairBatch:
        """The packed rows of a step."""
        shape, places = (self.rows, self.width), (self.rows, self.pairs_in_a_row)
        token_ids, segment_ids = np.zeros(shape, np.int64), np.zeros(shape, np.int32)
        ends = np.full((2, *places), -1, np.int64)
        labels = np.zeros(places, LABELS)
        names = [PADDING] * self.rows
        row_offsets, pairs = self._plans[step]
        for row in range(len(row_offsets) - 1):
            some = pairs[row_offsets[row] : row_offsets[row + 1]]
            names[row] = "pairs " + ", ".join(map(str, some))
            labels[row, : len(some)] = self.store.labels[some]
            column = 0
            for place, pair in enumerate(some.tolist()):
                for reply in (0, 1):
                    begin, end = self.store.tokens.offsets[2 * pair + reply : 2 * pair + reply + 2]
                    filled = slice(column, column + int(end - begin))
                    token_ids[row, filled] = self.store.tokens.tokens[begin:end]
                    segment_ids[row, filled] = 2 * place + reply + 1
                    column = filled.stop
                    ends[reply, row, place] = column - 1
        return PairBatch(token_ids, segment_ids, ends[0], ends[1], labels, tuple(names))

    def _plans_of(self, epoch: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each step of an epoch: where rows begin in a list of the step's pairs, and that list."""
        order = epoch_order(len(self.store), self.seed, epoch)
        for start in range(0, len(order), self.batch_size):
            pairs = order[start : start + self.batch_size]
            row_offsets, packed = pack(self.lengths[pairs], self.width, self.seed)
            yield row_offsets, pairs[packed]


def fitting_pairs(
    pairs: Iterable[EncodedPair], context: int, overlong: OverlongPair, skipped: Counter[str]
) -> Iterator[EncodedPair]:
    """The pairs whose two dialogs fit into `context` tokens together; `skipped` counts the others as `too_long`.

    Raises DataError, naming its place, for one that does not fit, unless `overlong` is "skip".
    """
    for pair in pairs:
        if pair.tokens <= context:
            yield pair
        elif overlong == "skip":
            skipped["too_long"] += 1
        else:
            raise DataError(
                pair.source or "a pair",
                f"the two dialogs of the pair have {pair.tokens:,} tokens together, and {context:,} is the most",
                mend="Raise context, or set overlong: skip to leave such pairs out and count them",
            )


def statistics_of(labels: NDArray[np.void], lengths: NDArray[np.int64]) -> dict[str, Any]:
    """Table 6: comparisons, and means of turns and of tokens an example (the prompt and one reply), a prompt and a reply.

    And how many pairs have each rating, and each combination of safe replies (paper section 3.1), where that is known.
    `labels` (pairs,) are of LABELS, `lengths` (pairs,) the tokens of both dialogs.
    """
    example, prompt = float(lengths.mean() / 2), float(labels["prompt_tokens"].mean())
    ratings = Counter(labels["rating"].tolist())
    flags = Counter(zip(labels["chosen_safe"].tolist(), labels["rejected_safe"].tolist(), strict=True))
    names = {1: "safe", 0: "unsafe"}
    return {
        "comparisons": len(labels),
        "turns": float(labels["turns"].mean()),
        "tokens_an_example": example,
        "tokens_a_prompt": prompt,
        "tokens_a_reply": example - prompt,
        "ratings": {name: ratings[place] for place, name in enumerate(PREFERENCE_RATINGS) if ratings[place]},
        "safety_bins": {
            f"{names[chosen]} over {names[rejected]}": flags[chosen, rejected]
            for chosen, rejected in sorted(flags, reverse=True)
            if UNKNOWN not in (chosen, rejected)
        },
    }
