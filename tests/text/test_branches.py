"""Branches: each sequence is there whole, sees itself alone, and costs no more than by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paddock.text.branches import BranchedRows, groups_of, shared_length

IDS = st.lists(st.integers(1, 3), min_size=1, max_size=12)


@given(st.lists(IDS, min_size=1, max_size=4), st.lists(st.integers(1, 3), max_size=20), st.integers(0, 5))
def test_each_token_sees_its_own_sequence_up_to_itself(rests, beginning, column):
    rows = BranchedRows.empty(2, column + len(beginning) + sum(map(len, rests)) + 3)
    ends = rows.place(1, column, beginning, rests)
    segments, beginnings = rows.segment_ids[1], rows.beginning_ids[1]
    for rest, end in zip(rests, ends, strict=True):
        for at in range(len(rest)):
            place = end - at
            continued = (beginnings[place] > 0) & (segments == beginnings[place])
            visible = ((segments == segments[place]) | continued)[: place + 1]
            whole = [*beginning, *rest]
            assert rows.token_ids[1, : place + 1][visible].tolist() == whole[: len(whole) - at]
            assert rows.positions[1, : place + 1][visible].tolist() == list(range(len(whole) - at))
    assert not rows.segment_ids[0].any()
    assert not segments[:column].any()
    assert not segments[ends[-1] + 1 :].any()


@given(st.lists(IDS, max_size=30), st.integers(5, 40))
def test_groups_hold_every_sequence_once_and_never_cost_more(sequences, longest):
    groups = list(groups_of(sequences, longest))
    assert sorted(number for group in groups for number in group.members) == list(range(len(sequences)))
    for members, shared, tokens in groups:
        assert len({tuple(sequences[number][:shared]) for number in members}) == 1
        assert all(len(sequences[number]) > shared for number in members)
        assert tokens == shared + sum(len(sequences[number]) - shared for number in members)
        assert tokens <= sum(len(sequences[number]) for number in members)
        assert tokens <= longest or len(members) == 1


def test_replies_to_a_prompt_share_it_and_prompts_that_begin_alike_stand_apart():
    first, second = [1, 2, 3, 4, 5, 6], [1, 2, 9, 9, 9, 9]
    sequences = [[*second, 7], [*first, 8], [*first, 9, 9], [*second, 8], [*first, 7]]
    groups = {frozenset(members): (shared, tokens) for members, shared, tokens in groups_of(sequences, 100)}
    assert groups == {frozenset({0, 3}): (6, 8), frozenset({1, 2, 4}): (6, 10)}


def test_shared_length_stops_at_the_first_difference():
    assert shared_length([1, 2, 3], [1, 2, 4]) == 2
    assert shared_length(np.array([1, 2]), [1, 2, 4]) == 2
    assert shared_length([], [1]) == 0
