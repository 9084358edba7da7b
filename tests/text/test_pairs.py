"""Pairs: each once an epoch, whole, both replies in one row, with their own labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import DataError
from paddock.text import pairs
from paddock.text.chat_format import encode_dialog, encode_prompt
from paddock.text.dialog import Dialog, Message, Preference
from paddock.text.packing import epoch_order
from paddock.text.pairs import (
    LABELS,
    EncodedPair,
    PackedPairs,
    PairBatch,
    PairStore,
    encode_pairs,
    fitting_pairs,
    statistics_of,
)
from paddock.text.tokenizer import train_tokenizer


def store_of(folder: Path, lengths: list[tuple[int, int]]) -> PairStore:
    """Pair i has i in every id's place but the replies' last ones, and i as its prompt's tokens."""
    numbered = (
        EncodedPair([*[i] * (c - 1), i + 500], [*[i] * (r - 1), i + 600], (i % 5 - 1, -1, -1, -1, 1, i), "")
        for i, (c, r) in enumerate(lengths, start=1)
    )
    PairStore.write(folder / "pairs", numbered, 1000)
    return PairStore.open(folder / "pairs")


def seen_by(batch: PairBatch, row: int, column: int) -> list[int]:
    """The ids that the token in a column attends to, itself among them, in order."""
    segments = batch.segment_ids[row]
    visible = (segments == segments[column]) | (segments == batch.beginning_ids[row, column])
    return batch.token_ids[row, : column + 1][visible[: column + 1]].tolist()


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(120, 300),
)
def test_every_pair_stands_whole_in_one_row_once_an_epoch(tmp_path_factory, lengths, batch_size, context):
    store = store_of(tmp_path_factory.mktemp("store"), lengths)
    packed = PackedPairs(store, batch_size, context, seed=3, epochs=2)
    for epoch in (0, 1):
        seen = []
        for step in range(epoch * packed.steps_per_epoch, (epoch + 1) * packed.steps_per_epoch):
            batch = packed.batch(step)
            assert batch.token_ids.shape == (packed.rows, packed.width)
            for row, place in np.argwhere(batch.chosen_ends >= 0).tolist():
                ends = batch.chosen_ends[row, place], batch.rejected_ends[row, place]
                pair = int(batch.token_ids[row, ends[0]]) - 500
                for end, length, last in zip(ends, lengths[pair - 1], (pair + 500, pair + 600), strict=True):
                    seen_ids = seen_by(batch, row, end)
                    assert seen_ids == [*[pair] * (length - 1), last]
                    assert batch.positions[row, end] == length - 1
                assert batch.labels[row, place]["prompt_tokens"] == pair
                seen.append(pair)
        assert sorted(seen) == list(range(1, len(lengths) + 1))
    assert 0 < packed.fill <= 1


def test_a_step_shows_the_pairs_that_it_is_told_to(tmp_path):
    packed = PackedPairs(store_of(tmp_path, [(3, 4)] * 10), 4, 100, seed=0)
    assert [int((packed.batch(step).chosen_ends >= 0).sum()) for step in range(3)] == [4, 4, 2]


@pytest.mark.parametrize("processes", [3, 6, 12, 16])
def test_any_number_of_processes_divides_the_rows(tmp_path, processes):
    store = store_of(tmp_path, [(60, 60)] * 21)
    one, several = (PackedPairs(store, 21, 120, seed=0, processes=count) for count in (1, processes))
    assert several.rows % processes == 0
    assert several.rows - one.rows < processes
    assert (several.batch(0).token_ids != 0).sum() == (one.batch(0).token_ids != 0).sum()


def test_an_epoch_s_order_is_drawn_once(tmp_path, monkeypatch):
    drawn = []

    def draw(*arguments):
        drawn.append(arguments)
        return epoch_order(*arguments)

    monkeypatch.setattr(pairs, "epoch_order", draw)
    packed = PackedPairs(store_of(tmp_path, [(3, 4)] * 40), 4, 100, seed=7, epochs=2)
    for step in range(20):
        packed.batch(step)
    assert drawn == [(40, 7, 0), (40, 7, 1)]


def test_both_dialogs_are_encoded_whole():
    tokenizer = train_tokenizer(["What is it? It is a cat. It is a dog."] * 20, 280)
    preference = Preference(
        (Message("user", "What?"), Message("assistant", "A cat."), Message("user", "Is it?")),
        "It is.",
        "No dog.",
        rating="slightly",
        domain="safety",
        chosen_safe=True,
        source="pairs.jsonl:7",
    )
    (pair,) = encode_pairs(tokenizer, [preference])
    assert pair.chosen[-1] == pair.rejected[-1] == tokenizer.eos_id
    assert pair.chosen[: pair.prompt_tokens] == pair.rejected[: pair.prompt_tokens]
    assert tokenizer.decode(pair.chosen[pair.prompt_tokens :]).strip() == "It is."
    assert pair.labels[:5] == (2, 1, 1, -1, 2)
    assert pair.source == "pairs.jsonl:7"


def test_an_overlong_pair_is_refused_by_its_place_or_left_out():
    two = [
        EncodedPair([1, 1, 2], [1, 1, 3], (0,) * 6, "a.jsonl:1"),
        EncodedPair([1, 2, 3, 4, 5], [1, 7, 8], (0,) * 6, "a.jsonl:2"),
    ]
    skipped = Counter()
    assert list(fitting_pairs(two, 4, "skip", skipped)) == two[:1]
    assert skipped == {"too_long": 1}
    with pytest.raises(DataError, match=r"a.jsonl:2.*7 tokens together, their beginning counted once, and 4 is the most"):
        list(fitting_pairs(two, 4, "refuse", Counter()))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=9), st.lists(st.integers(0, 2), min_size=1, max_size=9))
def test_a_stored_pair_is_read_back_whole(tmp_path_factory, chosen, rejected):
    folder = tmp_path_factory.mktemp("store")
    pair = EncodedPair(chosen, rejected, (0, -1, -1, -1, 1, 1), "")
    PairStore.write(folder / "pairs", [pair], 1000)
    store = PairStore.open(folder / "pairs")
    shared, *rests = (part.tolist() for part in store.parts(0))
    assert [shared + rest for rest in rests] == [chosen, rejected]
    assert all(rests)
    assert store.lengths.tolist() == [pair.tokens]
    assert store.places.tolist() == [pair.places] == [len(shared) + sum(map(len, rests))]


def test_statistics_are_those_of_hand_counted_pairs():
    pieces = train_tokenizer(["Hello. Yes? Who? Anna. Ben and Emma."] * 20, 280)
    one = (Message("user", "Hello."),)
    two = (Message("user", "Hello."), Message("assistant", "Yes?"), Message("user", "Who?"))
    encoded = list(
        encode_pairs(
            pieces,
            [
                Preference(one, "Anna", "Ben and Emma", "better", chosen_safe=True, rejected_safe=False),
                Preference(two, "Anna", "Ben", chosen_safe=False),
            ],
        )
    )
    found = statistics_of(np.array([pair.labels for pair in encoded], LABELS), np.array([pair.tokens for pair in encoded]))
    prompts = [len(encode_prompt(pieces, Dialog(messages))) for messages in (one, two)]
    examples = [
        len(encode_dialog(pieces, Dialog(messages).with_reply(reply)).ids)
        for messages, reply in ((one, "Anna"), (one, "Ben and Emma"), (two, "Anna"), (two, "Ben"))
    ]
    assert found["comparisons"] == 2
    assert found["turns"] == 1.5
    assert found["tokens_a_prompt"] == sum(prompts) / 2
    assert found["tokens_an_example"] == sum(examples) / 4
    assert found["tokens_a_reply"] == sum(examples) / 4 - sum(prompts) / 2
    assert found["ratings"] == {"better": 1}
    assert found["safety_bins"] == {"safe over unsafe": 1}
