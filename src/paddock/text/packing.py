"""Encoded text on disk, and the batch of each training step as a pure function of it.

Shapes: B rows, T = `context` inputs a row. `batch(step)` depends on the store, the seed, the batch size, the context and the
step alone, so a run resumes by its step number: no iterator has a state to save. Each epoch has an order of its own.

- Pretraining, `DocumentWindows`: documents stand one after another (BOS text EOS BOS text EOS ...) and are cut every T
  tokens. Attention runs across the documents of a row, as usual.
- Fine-tuning, `PackedDialogs`: whole dialogs share a row (paper section 3.1), and attention stays within a dialog through
  `segment_ids`. Positions need no reset, as RoPE is relative.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError, EmptyDataError
from paddock.run_dir import atomic_folder, to_json
from paddock.text.chat_format import Encoded

PADDING = "padding"  # what a row that holds nothing is called among `sources`


@dataclass(frozen=True)
class Batch:
    """The rows of one optimizer step, or a share of them."""

    token_ids: NDArray[np.int64]  # (B, T) inputs
    targets: NDArray[np.int64]  # (B, T) the token that follows each input
    loss_mask: NDArray[np.bool_]  # (B, T) 1 where the target bears loss; 0 on padding
    segment_ids: (
        NDArray[np.int32] | None
    )  # (B, T) 1.. the dialog within the row, 0 padding; None: attention is plainly causal
    sources: tuple[str, ...]  # what each row holds, in words, for the error that stops a run

    @property
    def filled(self) -> int:
        """How many rows hold anything: the first ones."""
        return len(self.sources) - self.sources.count(PADDING)

    def rows(self, start: int, stop: int) -> Batch:
        """The rows from `start` up to `stop`: a rank's share, or a micro-batch."""
        segment_ids = None if self.segment_ids is None else self.segment_ids[start:stop]
        return Batch(
            self.token_ids[start:stop],
            self.targets[start:stop],
            self.loss_mask[start:stop],
            segment_ids,
            self.sources[start:stop],
        )


class StepRows(Protocol):
    """What every kind of batch has: rows that can be shared out. A stage's loss knows the rest of its own kind."""

    @property
    def token_ids(self) -> NDArray[np.int64]:
        """(B, T) inputs."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """What each row holds, in words."""
        ...

    @property
    def filled(self) -> int:
        """How many rows hold anything: the first ones; the others are padding."""
        ...

    def rows(self, start: int, stop: int) -> Self:
        """The rows from `start` up to `stop`."""
        ...


class Batches(Protocol):
    """Where a training loop gets its batches; `step` counts from 0 through all epochs."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show every row once; the last is filled up with rows that bear no loss."""
        ...

    @property
    def tokens_per_epoch(self) -> int:
        """Tokens of an epoch that are learnt from."""
        ...

    def batch(self, step: int) -> StepRows:
        """The whole batch of a step, over all ranks."""
        ...


@dataclass(frozen=True)
class StoreSummary:
    """What a TokenStore holds: sequences, their tokens, the tokens that bear loss, and the longest sequence's tokens.

    `too_long` counts rows that were left out before, as no row of a batch can hold them.
    """

    sequences: int
    tokens: int
    loss_tokens: int
    longest: int
    too_long: int = 0


@dataclass(frozen=True)
class TokenStore:
    """Encoded sequences on disk, memory-mapped: ids one after another, a mask beside them, and where each begins."""

    tokens: NDArray[Any]  # (tokens,) uint16, or uint32 for a vocabulary over 65,536
    loss_mask: NDArray[np.bool_] | None  # (tokens,) 1 where the token bears loss; None: all do
    offsets: NDArray[np.int64]  # (sequences + 1,) sequence i is tokens[offsets[i]:offsets[i + 1]]
    summary: StoreSummary

    @staticmethod
    def write(folder: Path, sequences: Iterable[Encoded], vocab_size: int) -> StoreSummary:
        """Write `sequences` to `folder` as they come, in constant memory. A kill leaves no half-written store.

        Either all sequences have a loss mask or none has. Raises EmptyDataError where there are none.
        """
        dtype = np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)
        count = tokens = loss_tokens = longest = 0
        masked: bool | None = None
        with atomic_folder(folder) as temporary:
            with (
                open(temporary / "tokens.bin", "wb") as token_file,
                open(temporary / "loss_mask.bin", "wb") as mask_file,
                open(temporary / "offsets.bin", "wb") as offset_file,
            ):
                offset_file.write(np.int64(0).tobytes())
                for ids, loss_mask in sequences:
                    assert masked is None or masked == (loss_mask is not None), (
                        "some sequences have a loss mask, some do not"
                    )
                    masked = loss_mask is not None
                    token_file.write(np.asarray(ids, dtype).tobytes())
                    if loss_mask is not None:
                        assert len(loss_mask) == len(ids)
                        mask_file.write(np.asarray(loss_mask, np.bool_).tobytes())
                    count, tokens, longest = count + 1, tokens + len(ids), max(longest, len(ids))
                    loss_tokens += len(ids) if loss_mask is None else sum(loss_mask)
                    offset_file.write(np.int64(tokens).tobytes())
            if tokens == 0:
                raise EmptyDataError(
                    folder.name, "nothing was read that could be encoded", mend="Check the paths of the data"
                )
            if not masked:
                (temporary / "loss_mask.bin").unlink()
            summary = StoreSummary(count, tokens, loss_tokens, longest)
            description = {"dtype": dtype.name, "masked": masked, **summary.__dict__}
            (temporary / "store.json").write_text(to_json(description))
        return summary

    @staticmethod
    def open(folder: Path) -> TokenStore:
        """Map a store into memory; nothing is read before it is used."""
        description = json.loads((folder / "store.json").read_text())
        dtype, masked = np.dtype(description.pop("dtype")), description.pop("masked")
        return TokenStore(
            np.memmap(folder / "tokens.bin", dtype, "r"),
            np.memmap(folder / "loss_mask.bin", np.bool_, "r") if masked else None,
            np.memmap(folder / "offsets.bin", np.int64, "r"),
            StoreSummary(**description),
        )


def epoch_order(rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch shows `rows` rows."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


class _Shuffled:
    """Which rows a step shows. One epoch's order is kept, as steps mostly come in turn."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.steps_per_epoch = -(-rows // batch_size)
        self.epoch, self.order = 0, epoch_order(rows, seed, 0)

    def of_step(self, step: int) -> NDArray[np.int64]:
        """(up to B,) the rows of a step; fewer in the last step of an epoch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, epoch_order(self.rows, self.seed, epoch)
        return self.order[place * self.batch_size : (place + 1) * self.batch_size]


class DocumentWindows:
    """Windows of `context` tokens over the documents of a store, in a seeded order: the batches of pretraining.

    Every token but the very first is a target once an epoch; the last window is filled up with padding.
    """

    def __init__(self, store: TokenStore, batch_size: int, context: int, seed: int) -> None:
        self.store, self.context = store, context
        self.windows = -(-(len(store.tokens) - 1) // context)
        self._shuffled = _Shuffled(self.windows, batch_size, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show every window once."""
        return self._shuffled.steps_per_epoch

    @property
    def tokens_per_epoch(self) -> int:
        """Targets of an epoch that bear loss."""
        return len(self.store.tokens) - 1

    def batch(self, step: int) -> Batch:
        """The windows of a step."""
        windows = self._shuffled.of_step(step)
        batch_size = self._shuffled.batch_size
        size = len(self.store.tokens)
        begins = np.full(batch_size, size - 1)  # a row past the last window is padding throughout
        begins[: len(windows)] = windows * self.context
        places = begins[:, None] + np.arange(self.context + 1)  # (B, T + 1)
        tokens = self.store.tokens[np.minimum(places, size - 1)].astype(np.int64)
        loss_mask = places[:, 1:] < size
        token_ids = np.where(loss_mask, tokens[:, :-1], 0)
        targets = np.where(loss_mask, tokens[:, 1:], 0)
        names = [f"documents tokens {begin}-{min(begin + self.context, size)}" for begin in begins[: len(windows)]]
        return Batch(token_ids, targets, loss_mask, None, (*names, *[PADDING] * (batch_size - len(names))))


class PackedDialogs:
    """Whole dialogs packed into rows of `context` tokens: the batches of fine-tuning.

    A dialog of n tokens takes n - 1 places, its inputs; their targets are its tokens from the second on, so that no place
    spans two dialogs. A dialog over context + 1 tokens is cut at its end and counted in `truncated`; one whose remainder
    bears no loss is left out and counted in `left_out`.
    """

    def __init__(self, store: TokenStore, batch_size: int, context: int, seed: int) -> None:
        """Plan the rows. Raises DataError where no dialog is left."""
        assert store.loss_mask is not None, "dialogs are stored with a loss mask"
        self.store, self.context = store, context
        lengths = np.diff(store.offsets)
        too_long = np.flatnonzero(lengths > context + 1)
        self.places = np.minimum(lengths - 1, context)  # (dialogs,) the inputs of each
        bears_loss = _loss_targets(store, self.places)
        kept = np.flatnonzero(bears_loss > 0)
        self.truncated = int(np.isin(too_long, kept).sum())
        self.left_out = len(lengths) - len(kept)
        if not len(kept):
            raise DataError("dialogs", f"none bears loss within context ({context} tokens)", mend="Raise context")
        self._tokens_per_epoch = int(bears_loss[kept].sum())
        self.row_offsets, order = pack(self.places[kept], context, seed)
        self.row_dialogs = kept[order]  # row i holds row_dialogs[row_offsets[i]:row_offsets[i + 1]]
        self._shuffled = _Shuffled(len(self.row_offsets) - 1, batch_size, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show every row once."""
        return self._shuffled.steps_per_epoch

    @property
    def tokens_per_epoch(self) -> int:
        """Targets of an epoch that bear loss."""
        return self._tokens_per_epoch

    @property
    def fill(self) -> float:
        """The share of the rows' places that hold a token."""
        return float(self.places[self.row_dialogs].sum() / ((len(self.row_offsets) - 1) * self.context))

    def batch(self, step: int) -> Batch:
        """The packed rows of a step."""
        rows = self._shuffled.of_step(step)
        batch_size = self._shuffled.batch_size
        shape = (batch_size, self.context)
        token_ids, targets = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        loss_mask, segment_ids = np.zeros(shape, np.bool_), np.zeros(shape, np.int32)
        names = [PADDING] * batch_size
        for place, row in enumerate(rows):
            dialogs = self.row_dialogs[self.row_offsets[row] : self.row_offsets[row + 1]]
            names[place] = "dialogs " + ", ".join(map(str, dialogs))
            lengths = self.places[dialogs]
            filled = int(lengths.sum())
            starts = np.cumsum(lengths) - lengths
            inputs = np.arange(filled) + np.repeat(self.store.offsets[dialogs] - starts, lengths)
            assert self.store.loss_mask is not None
            token_ids[place, :filled] = self.store.tokens[inputs]
            targets[place, :filled] = self.store.tokens[inputs + 1]
            loss_mask[place, :filled] = self.store.loss_mask[inputs + 1]
            segment_ids[place, :filled] = np.repeat(np.arange(1, len(dialogs) + 1), lengths)
        return Batch(token_ids, targets, loss_mask, segment_ids, tuple(names))


@dataclass(frozen=True)
class PackedSequences:
    """Whole sequences side by side in rows; sequence i stands in row rows[i], from column starts[i] on."""

    token_ids: NDArray[np.int64]  # (B, T) 0 on padding
    segment_ids: NDArray[np.int32]  # (B, T) 1.. the sequence within the row, 0 padding
    rows: NDArray[np.int64]  # (N,)
    starts: NDArray[np.int64]  # (N,)


def pack_sequences(sequences: Sequence[Sequence[int]], context: int) -> PackedSequences:
    """Put `sequences`, each of 1 to `context` ids, into as few rows as best fit finds. T is at most `context`."""
    lengths = np.array([len(sequence) for sequence in sequences])
    width = min(context, int(lengths.sum()))
    row_offsets, order = pack(lengths, width, seed=0)
    count = len(row_offsets) - 1
    token_ids, segment_ids = np.zeros((count, width), np.int64), np.zeros((count, width), np.int32)
    rows, starts = np.empty(len(lengths), np.int64), np.empty(len(lengths), np.int64)
    for row in range(count):
        column = 0
        for segment, item in enumerate(order[row_offsets[row] : row_offsets[row + 1]].tolist(), start=1):
            end = column + len(sequences[item])
            token_ids[row, column:end], segment_ids[row, column:end] = sequences[item], segment
            rows[item], starts[item], column = row, column, end
    return PackedSequences(token_ids, segment_ids, rows, starts)


def _loss_targets(store: TokenStore, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """(dialogs,) how many of each dialog's targets bear loss, its first `places` inputs counted."""
    loss_mask = np.asarray(store.loss_mask)  # slices of a plain array cost half as much as a memmap's
    counts = np.empty(len(places), np.int64)
    for index, (begin, inputs) in enumerate(zip(store.offsets[:-1].tolist(), places.tolist(), strict=True)):
        counts[index] = np.count_nonzero(loss_mask[begin + 1 : begin + 1 + inputs])
    return counts


def pack(lengths: NDArray[np.int64], capacity: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Put items into rows of `capacity`, best fit, longest first. Every length is from 1 to `capacity`.

    Returns `(row_offsets, order)`: row i holds the items `order[row_offsets[i]:row_offsets[i + 1]]`. Which of the items of
    one length go where is drawn from the seed. It works on the histogram of lengths, after Krell et al. 2021 (Efficient
    Sequence Packing without Cross-contamination), so that a million items take about a second.
    """
    groups = _pack_histogram(np.bincount(lengths, minlength=capacity + 1), capacity)
    rows_of_slots, lengths_of_slots = [], []
    rows = 0
    for count, row_lengths in groups:
        rows_of_slots.append(np.repeat(np.arange(rows, rows + count), len(row_lengths)))
        lengths_of_slots.append(np.tile(row_lengths, count))
        rows += count
    row_of_slot, length_of_slot = np.concatenate(rows_of_slots), np.concatenate(lengths_of_slots)
    shuffled = np.random.default_rng(seed).permutation(len(lengths))
    order = np.empty(len(lengths), np.int64)
    order[np.argsort(length_of_slot, kind="stable")] = shuffled[np.argsort(lengths[shuffled], kind="stable")]
    row_offsets = np.concatenate([[0], np.cumsum(np.bincount(row_of_slot, minlength=rows))])
    return row_offsets, order


def _pack_histogram(histogram: NDArray[np.int64], capacity: int) -> list[tuple[int, list[int]]]:
    """Rows that hold `histogram[length]` items of each length, as `(how many such rows, the lengths in each)`."""
    open_rows: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)  # by the space left
    for length in range(capacity, 0, -1):
        left = int(histogram[length])
        while left:
            space = next((space for space in range(length, capacity + 1) if open_rows.get(space)), capacity)
            count, contents = open_rows[space].pop() if open_rows.get(space) else (left, [])
            each = min(space // length, left)  # as many of this length as fit one row
            used = min(count, left // each)
            if used < count and contents:
                open_rows[space].append((count - used, contents))
            open_rows[space - each * length].append((used, contents + [length] * each))
            left -= used * each
    return [group for groups in open_rows.values() for group in groups]
