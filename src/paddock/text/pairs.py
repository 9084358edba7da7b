"""Encoded preferences on disk, and the batch of each training step of a reward model as a pure function of it.

Shapes: B rows of T tokens, at most P pairs in a row. Both dialogs of a pair stand in one row, so that one forward pass
scores them (paper section 3.2.2), and what they begin with, the prompt at least, stands there once (`text.branches`). A step
shows `batch_size` pairs, packed into a number of rows that is the same for every step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError
from paddock.run_dir import atomic_folder
from paddock.text.branches import BranchedRows, shared_length
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
    def shared(self) -> int:
        """Tokens that both dialogs begin with; the last one of either is its own."""
        return min(shared_length(self.chosen, self.rejected), len(self.chosen) - 1, len(self.rejected) - 1)

    @property
    def places(self) -> int:
        """Tokens of a row that hold the pair."""
        return self.tokens - self.shared

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
    """Encoded pairs on disk: a TokenStore, and the labels of each pair.

    A pair is three sequences: what both dialogs begin with, the rest of the chosen one and that of the rejected one.
    """

    tokens: TokenStore
    labels: NDArray[np.void]  # (pairs,) of LABELS

    @staticmethod
    def write(folder: Path, pairs: Iterable[EncodedPair], vocab_size: int) -> StoreSummary:
        """Write `pairs` to `folder` as they come, whole or not at all. Raises EmptyDataError where there are none.

        The summary's sequences are dialogs; its tokens are those that are stored, beginnings once.
        """
        labels: list[tuple[int, ...]] = []
        longest = 0

        def sequences() -> Iterator[Encoded]:
            nonlocal longest
            for pair in pairs:
                labels.append(pair.labels)
                shared, longest = pair.shared, max(longest, len(pair.chosen), len(pair.rejected))
                yield Encoded(pair.chosen[:shared])
                yield Encoded(pair.chosen[shared:])
                yield Encoded(pair.rejected[shared:])

        with atomic_folder(folder) as temporary:
            summary = TokenStore.write(temporary / "tokens", sequences(), vocab_size)
            np.save(temporary / "labels.npy", np.array(labels, LABELS))
        return replace(summary, sequences=2 * len(labels), longest=longest)

    @staticmethod
    def open(folder: Path) -> PairStore:
        """Map a store into memory."""
        return PairStore(TokenStore.open(folder / "tokens"), np.load(folder / "labels.npy"))

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.labels)

    @property
    def places(self) -> NDArray[np.int64]:
        """(pairs,) tokens of a row that hold each pair."""
        return np.diff(self.tokens.offsets[::3])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(pairs,) tokens of both dialogs of each pair."""
        return self.places + np.diff(self.tokens.offsets)[::3]

    def parts(self, pair: int) -> list[NDArray[np.integer]]:
        """What both dialogs of a pair begin with, and the rests of the chosen and of the rejected one."""
        begin, *inner, end = self.tokens.offsets[3 * pair : 3 * pair + 4].tolist()
        return np.split(self.tokens.tokens[begin:end], np.array(inner) - begin)


@dataclass(frozen=True)
class PairBatch:
    """The rows of one optimizer step, or a share of them. Where a row holds fewer than P pairs, ends are -1."""

    token_ids: NDArray[np.int64]  # (B, T)
    segment_ids: NDArray[np.int32]  # (B, T) this and the next two as in `BranchedRows`
    beginning_ids: NDArray[np.int32]  # (B, T)
    positions: NDArray[np.int64]  # (B, T)
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
            self.beginning_ids[some],
            self.positions[some],
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
        self.places = store.places
        assert self.places.max() <= context, "over-long pairs are left out before"
        self.width = int(min(context, max(self.places.max(), SHORTEST_ROW)))
        self._plans = [plan for epoch in range(epochs) for plan in self._plans_of(epoch)]
        rows = max(len(row_offsets) - 1 for row_offsets, _ in self._plans)
        self.rows = -(-rows // processes) * processes
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
        """Tokens of an epoch; those that both dialogs of a pair begin with count once."""
        return int(self.places.sum())

    def batch(self, step: int) -> PairBatch:
        """The packed rows of a step."""
        rows = BranchedRows.empty(self.rows, self.width)
        places = (self.rows, self.pairs_in_a_row)
        ends = np.full((2, *places), -1, np.int64)
        labels = np.zeros(places, LABELS)
        names = [PADDING] * self.rows
        row_offsets, pairs = self._plans[step]
        for row in range(len(row_offsets) - 1):
            some = pairs[row_offsets[row] : row_offsets[row + 1]]
            names[row] = "pairs " + ", ".join(map(str, some))
            labels[row, : len(some)] = self.store.labels[some]
            columns = np.cumsum(self.places[some]) - self.places[some]
            for place, (pair, column) in enumerate(zip(some.tolist(), columns.tolist(), strict=True)):
                shared, *rests = self.store.parts(pair)
                ends[:, row, place] = rows.place(row, column, shared, rests)
        return PairBatch(
            rows.token_ids, rows.segment_ids, rows.beginning_ids, rows.positions, ends[0], ends[1], labels, tuple(names)
        )

    def _plans_of(self, epoch: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each step of an epoch: where rows begin in a list of the step's pairs, and that list."""
        order = epoch_order(len(self.store), self.seed, epoch)
        for start in range(0, len(order), self.batch_size):
            pairs = order[start : start + self.batch_size]
            row_offsets, packed = pack(self.places[pairs], self.width, self.seed)
            yield row_offsets, pairs[packed]


def fitting_pairs(
    pairs: Iterable[EncodedPair], context: int, overlong: OverlongPair, skipped: Counter[str]
) -> Iterator[EncodedPair]:
    """The pairs that fit into a row of `context` tokens; `skipped` counts the others as `too_long`.

    Raises DataError, naming its place, for one that does not fit, unless `overlong` is "skip".
    """
    for pair in pairs:
        if pair.places <= context:
            yield pair
        elif overlong == "skip":
            skipped["too_long"] += 1
        else:
            raise DataError(
                pair.source or "a pair",
                f"the two dialogs of the pair have {pair.places:,} tokens together, their beginning counted once, and "
                f"{context:,} is the most",
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
