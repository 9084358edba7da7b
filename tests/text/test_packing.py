"""Packing: nothing lost, nothing seen twice, nothing leaks, and a batch depends on its step alone.

Stores in these tests hold the ids 0, 1, 2, ...: a token's id is its place, so that every place can be followed.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.text.chat_format import Encoded
from paddock.text.packing import (
    Batch,
    Batches,
    DocumentWindows,
    PackedDialogs,
    StoreSummary,
    TokenStore,
    pack,
    pack_sequences,
)


def store_of(lengths: list[int], masks: list[list[bool]] | None = None) -> TokenStore:
    """A store in memory whose ids are places."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    loss_mask = None if masks is None else np.array([bears for mask in masks for bears in mask], np.bool_)
    tokens = int(offsets[-1])
    summary = StoreSummary(len(lengths), tokens, tokens if loss_mask is None else int(loss_mask.sum()), max(lengths))
    return TokenStore(np.arange(tokens, dtype=np.uint32), loss_mask, offsets, summary)


def epoch(batches: Batches, number: int = 0) -> list[Batch]:
    return [batches.batch(step) for step in range(number * batches.steps_per_epoch, (number + 1) * batches.steps_per_epoch)]


def equal(one: Batch, other: Batch) -> bool:
    arrays = ("token_ids", "targets", "loss_mask", "segment_ids")
    return one.sources == other.sources and all(np.array_equal(getattr(one, a), getattr(other, a)) for a in arrays)


def learned_targets(batches: list[Batch]) -> list[int]:
    return sorted(int(target) for batch in batches for target in batch.targets[batch.loss_mask])


@st.composite
def masked_dialogs(draw: st.DrawFn, longest: int = 12) -> TokenStore:
    """Dialogs of 1 to `longest` tokens whose first bears no loss and of which at least one token does."""
    lengths = [2, *draw(st.lists(st.integers(1, longest), max_size=30))]
    masks = [[False, *(draw(st.booleans()) for _ in range(length - 1))] for length in lengths]
    masks[0][1] = True
    return store_of(lengths, masks)


sizes = st.integers(1, 5)  # of a batch
seeds = st.integers(0, 3)


# --- documents ---


@given(st.lists(st.integers(2, 20), min_size=1, max_size=12), sizes, st.integers(1, 9), seeds)
def test_every_token_of_documents_but_the_first_is_a_target_once_an_epoch(lengths, batch_size, context, seed):
    windows = DocumentWindows(store_of(lengths), batch_size, context, seed)
    for number in (0, 1):
        assert learned_targets(epoch(windows, number)) == list(range(1, sum(lengths)))
    assert windows.tokens_per_epoch == sum(lengths) - 1


@given(st.lists(st.integers(2, 20), min_size=1, max_size=12), sizes, st.integers(1, 9), seeds)
def test_a_target_of_documents_is_the_next_token(lengths, batch_size, context, seed):
    for batch in epoch(DocumentWindows(store_of(lengths), batch_size, context, seed)):
        assert batch.token_ids.shape == batch.targets.shape == batch.loss_mask.shape == (batch_size, context)
        assert (batch.targets == batch.token_ids + 1)[batch.loss_mask].all()
        assert batch.segment_ids is None


def test_windows_worked_by_hand():
    windows = DocumentWindows(
        store_of([4, 3]), batch_size=3, context=4, seed=0
    )  # tokens 0..6: two windows and a row of padding
    batch = windows.batch(0)
    rows = {name: place for place, name in enumerate(batch.sources)}
    first, second, padding = rows["documents tokens 0-4"], rows["documents tokens 4-7"], rows["padding"]
    assert batch.token_ids[first].tolist() == [0, 1, 2, 3]
    assert batch.targets[first].tolist() == [1, 2, 3, 4]
    assert batch.token_ids[second].tolist() == [4, 5, 0, 0]
    assert batch.targets[second].tolist() == [5, 6, 0, 0]
    assert batch.loss_mask[second].tolist() == [True, True, False, False]
    assert not batch.loss_mask[padding].any()


# --- dialogs ---


@given(masked_dialogs(), sizes, st.integers(11, 40), seeds)
def test_every_loss_bearing_token_of_dialogs_is_a_target_once_an_epoch(store, batch_size, context, seed):
    dialogs = PackedDialogs(store, batch_size, context, seed)
    expected = np.flatnonzero(store.loss_mask).tolist()
    for number in (0, 1):
        assert learned_targets(epoch(dialogs, number)) == expected
    assert dialogs.tokens_per_epoch == len(expected)


@given(masked_dialogs(), sizes, st.integers(11, 40), seeds)
def test_every_token_of_a_dialog_that_bears_loss_is_read_once_an_epoch(store, batch_size, context, seed):
    batches = epoch(PackedDialogs(store, batch_size, context, seed))
    read = sorted(int(token) for batch in batches for token in batch.token_ids[batch.segment_ids > 0])
    spans = [(a, b) for a, b in pairwise(store.offsets.tolist()) if store.loss_mask[a:b].any()]
    assert read == [token for a, b in spans for token in range(a, b - 1)]  # the last token of a dialog is a target alone


@given(masked_dialogs(), sizes, st.integers(11, 40), seeds)
def test_a_segment_holds_one_dialog_and_its_targets_stay_within(store, batch_size, context, seed):
    for batch in epoch(PackedDialogs(store, batch_size, context, seed)):
        for row in range(batch_size):
            segments = batch.segment_ids[row]
            for segment in range(1, segments.max() + 1):
                places = np.flatnonzero(segments == segment)
                tokens, targets = batch.token_ids[row, places], batch.targets[row, places]
                assert (np.diff(places) == 1).all()
                assert (targets == tokens + 1).all()
                assert tokens[0] in store.offsets
                assert len(set(np.searchsorted(store.offsets, [*tokens, targets[-1]], "right"))) == 1


@given(masked_dialogs(), sizes, st.integers(11, 40), seeds)
def test_padding_bears_no_loss_and_is_segment_zero(store, batch_size, context, seed):
    for batch in epoch(PackedDialogs(store, batch_size, context, seed)):
        padding = batch.segment_ids == 0
        assert not batch.loss_mask[padding].any()
        assert not batch.token_ids[padding].any()


def test_rows_worked_by_hand():
    masks = [[False, False, True], [False, True], [False, False, True, True]]
    dialogs = PackedDialogs(store_of([3, 2, 4], masks), batch_size=1, context=6, seed=0)
    batch = dialogs.batch(0)  # places taken: 3 + 2 + 1, longest first
    assert batch.token_ids.tolist() == [[5, 6, 7, 0, 1, 3]]
    assert batch.targets.tolist() == [[6, 7, 8, 1, 2, 4]]
    assert batch.segment_ids.tolist() == [[1, 1, 1, 2, 2, 3]]
    assert batch.loss_mask.tolist() == [[False, True, True, False, True, True]]
    assert batch.sources == ("dialogs 2, 0, 1",)
    assert dialogs.fill == 1.0


def test_a_dialog_of_one_token_more_than_context_fits():
    dialogs = PackedDialogs(store_of([8], [[False] * 7 + [True]]), 1, 7, 0)
    assert learned_targets(epoch(dialogs)) == [7]


@given(masked_dialogs(longest=30), sizes, st.integers(1, 12), seeds)
def test_truncation_keeps_the_beginning_and_counts(store, batch_size, context, seed):
    dialogs = PackedDialogs(store, batch_size, context, seed)
    spans = list(pairwise(store.offsets.tolist()))
    kept = [[t for t in range(a, min(b, a + context + 1)) if store.loss_mask[t]] for a, b in spans]
    assert learned_targets(epoch(dialogs)) == [token for tokens in kept for token in tokens]
    assert dialogs.truncated == sum(b - a > context + 1 and bool(tokens) for (a, b), tokens in zip(spans, kept, strict=True))
    assert dialogs.left_out == sum(not tokens for tokens in kept)


def test_a_dialog_cut_before_its_last_answer_is_left_out_where_that_alone_bears_loss():
    masks = [[False] * 6 + [True] * 2, [False] * 2 + [True] * 2]
    dialogs = PackedDialogs(store_of([8, 4], masks), batch_size=1, context=5, seed=0)
    assert (dialogs.truncated, dialogs.left_out) == (0, 1)
    batch = dialogs.batch(0)
    assert batch.targets[batch.loss_mask].tolist() == [10, 11]


def test_dialogs_that_bear_no_loss_within_context_are_an_error():
    with pytest.raises(DataError, match="none bears loss"):
        PackedDialogs(store_of([9], [[False] * 8 + [True]]), 1, 4, 0)


# --- both ---


def some_batches(kind: str, seed: int = 5) -> Batches:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 30, 200).tolist()
    if kind == "documents":
        return DocumentWindows(store_of(lengths), 4, 16, seed)
    return PackedDialogs(store_of(lengths, [[False] + [True] * (length - 1) for length in lengths]), 4, 32, seed)


both = pytest.mark.parametrize("kind", ["documents", "dialogs"])


@both
@given(steps=st.lists(st.integers(0, 200), max_size=8))
def test_a_batch_depends_on_its_step_alone(kind: str, steps: list[int]):
    used = some_batches(kind)
    for step in steps:
        assert equal(used.batch(step), some_batches(kind).batch(step))


@both
def test_epochs_and_seeds_differ_in_order(kind: str):
    batches, other = some_batches(kind), some_batches(kind, seed=6)
    first = batches.batch(0)
    assert not equal(first, batches.batch(batches.steps_per_epoch))
    assert not equal(first, other.batch(0))


@both
@given(cut=st.integers(0, 4))
def test_shares_of_rows_make_up_the_batch(kind: str, cut: int):
    batch = some_batches(kind).batch(3)
    head, tail = batch.rows(0, cut), batch.rows(cut, 4)
    assert head.sources + tail.sources == batch.sources
    assert np.concatenate([head.targets, tail.targets]).tolist() == batch.targets.tolist()
    assert np.concatenate([head.loss_mask, tail.loss_mask]).tolist() == batch.loss_mask.tolist()
    assert (head.segment_ids is None) == (batch.segment_ids is None)


# --- pack ---


@given(st.lists(st.integers(1, 20), min_size=1, max_size=200), seeds)
def test_packing_places_every_item_once_and_overfills_no_row(lengths: list[int], seed: int):
    row_offsets, order = pack(np.array(lengths), 20, seed)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert row_offsets[0] == 0
    assert row_offsets[-1] == len(lengths)
    for begin, end in pairwise(row_offsets.tolist()):
        assert 0 < sum(lengths[item] for item in order[begin:end]) <= 20


def test_packing_fills_rows_of_dialog_like_lengths():
    lengths = np.clip(np.random.default_rng(0).lognormal(4, 0.7, 20_000).astype(int), 2, 256)
    row_offsets, _ = pack(lengths, 256, 0)
    assert lengths.sum() / ((len(row_offsets) - 1) * 256) > 0.99


def test_packing_draws_from_the_seed_which_items_meet():
    lengths = np.full(100, 5)
    assert pack(lengths, 20, 0)[1].tolist() != pack(lengths, 20, 1)[1].tolist()


# --- store ---


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=20), min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from([65_536, 65_537]),
)
def test_a_store_gives_back_what_was_written(tmp_path_factory, sequences, masked, vocab_size):
    folder = tmp_path_factory.mktemp("store") / "tokens"
    encoded = [Encoded(ids, [token % 2 == 0 for token in ids] if masked else None) for ids in sequences]
    summary = TokenStore.write(folder, iter(encoded), vocab_size)
    store = TokenStore.open(folder)
    assert store.summary == summary
    assert store.tokens.tolist() == [token for ids in sequences for token in ids]
    assert store.tokens.dtype == (np.uint16 if vocab_size == 65_536 else np.uint32)
    assert np.diff(store.offsets).tolist() == [len(ids) for ids in sequences]
    loss_mask = [token % 2 == 0 for ids in sequences for token in ids]
    assert (store.loss_mask.tolist() if masked else store.loss_mask) == (loss_mask if masked else None)
    assert summary.loss_tokens == (sum(loss_mask) if masked else summary.tokens)
    assert summary.longest == max(map(len, sequences))


def test_an_empty_store_is_an_error_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(DataError, match="nothing was read"):
        TokenStore.write(tmp_path / "store", iter([]), 100)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_half_written_store(tmp_path: Path):
    script = """
import sys
from pathlib import Path
from paddock.text.chat_format import Encoded
from paddock.text.packing import TokenStore

def sequences():
    for number in range(10**9):
        if number == 1000:
            print("under way", flush=True)
        yield Encoded([1, 2, 3])

TokenStore.write(Path(sys.argv[1]), sequences(), 100)
"""
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "store"], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"under way\n"
        writer.kill()
    assert not (tmp_path / "store").exists()
    TokenStore.write(tmp_path / "store", [Encoded([1, 2, 3])], 100)
    assert TokenStore.open(tmp_path / "store").tokens.tolist() == [1, 2, 3]


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=30), st.integers(9, 40))
def test_packed_sequences_stand_whole_where_they_are_said_to(sequences: list[list[int]], context: int) -> None:
    packed = pack_sequences(sequences, context)
    assert packed.token_ids.shape == packed.segment_ids.shape
    assert packed.token_ids.shape[1] <= context
    segments = set()
    for ids, row, start in zip(sequences, packed.rows, packed.starts, strict=True):
        place = slice(start, start + len(ids))
        assert packed.token_ids[row, place].tolist() == ids
        (segment,) = set(packed.segment_ids[row, place].tolist())
        assert (packed.segment_ids[row] == segment).sum() == len(ids)
        segments.add((row, segment))
    assert len(segments) == len(sequences)
    assert (packed.segment_ids > 0).sum() == sum(map(len, sequences))
