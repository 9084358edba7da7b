from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.decoding_rows import Rows, Sample

ROWS_OF_TOKENS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=5)


def rows_of(tokens: list[list[int]]) -> Rows:
    rows = Rows(sum(map(len, tokens)), 4, torch.device("cpu"))
    rows.samples = [[Sample(row, number, [0.0] * 4) for number in range(len(some))] for row, some in enumerate(tokens)]
    return rows


@given(ROWS_OF_TOKENS, st.integers(0, 4))
def test_a_fork_puts_those_samples_together_that_chose_alike(tokens, first):
    first = min(first, len(tokens) - 1)
    rows = rows_of(tokens)
    sources, places = rows.fork(first, tokens[first:])
    assert [[sample.prompt for sample in some] for some in rows.samples[:first]] == [
        [row] * len(tokens[row]) for row in range(first)
    ]
    assert len(sources) == len(places) == len(rows.samples) - first
    assert sources[: len(tokens) - first] == list(range(first, len(tokens)))
    for samples, source, place in zip(rows.samples[first:], sources, places, strict=True):
        assert {sample.prompt for sample in samples} == {source}
        assert {tokens[source][sample.number] for sample in samples} == {tokens[source][place]}
    found = sorted((sample.prompt, sample.number) for samples in rows.samples for sample in samples)
    assert found == [(row, number) for row, some in enumerate(tokens) for number in range(len(some))]
    chosen = [(source, tokens[source][place]) for source, place in zip(sources, places, strict=True)]
    assert len(set(chosen)) == len(chosen)  # a token of a row makes one row


def test_each_sample_takes_its_own_next_number():
    rows = Rows(3, 2, torch.device("cpu"))
    rows.samples = [[Sample(0, 0, [0.1, 0.2])], [Sample(1, 0, [0.3, 0.4]), Sample(1, 1, [0.5, 0.6])]]
    rows.made[:2] = torch.tensor([1, 0])
    torch.testing.assert_close(rows.uniform(0), torch.tensor([[0.2, 0.0], [0.3, 0.5]]))
