"""Sequences that begin alike, in rows where their beginning stands once: two replies to a prompt, or eight.

    beginning | rest of the first | rest of the second | ...

Each rest sees the beginning and itself, at the positions that it would have alone, and no other rest. So a network computes
for it what it would for the whole sequence, and reads a prompt once however many replies it has.

Shapes: B rows of T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True)
class BranchedRows:
    """Rows to fill with `place`, and what a network needs to know of them. Padding is 0 throughout."""

    token_ids: NDArray[np.int64]  # (B, T)
    segment_ids: NDArray[np.int32]  # (B, T) one number, from 1 on, for each beginning and each rest of a row
    beginning_ids: NDArray[np.int32]  # (B, T) the segment of a rest's beginning; 0 where there is none
    positions: NDArray[np.int64]  # (B, T) the place of the token in its own sequence

    @staticmethod
    def empty(rows: int, width: int) -> BranchedRows:
        """Rows of padding."""
        shape = (rows, width)
        return BranchedRows(
            np.zeros(shape, np.int64), np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.int64)
        )

    def place(self, row: int, column: int, beginning: Ids, rests: Sequence[Ids]) -> list[int]:
        """Write a beginning and its rests, none of them empty, into `row` from `column` on.

        Returns the column of each rest's last token. A segment's number is its first column's, counted from 1.
        """
        first, start, ends = column + 1, len(beginning), []
        column = self._write(row, column, beginning, 0, 0)
        for rest in rests:
            column = self._write(row, column, rest, first if start else 0, start)
            ends.append(column - 1)
        return ends

    def _write(self, row: int, column: int, ids: Ids, beginning_id: int, position: int) -> int:
        end = column + len(ids)
        self.token_ids[row, column:end] = ids
        self.segment_ids[row, column:end] = column + 1
        self.beginning_ids[row, column:end] = beginning_id
        self.positions[row, column:end] = np.arange(position, position + len(ids))
        return end


def shared_length(one: Ids, other: Ids) -> int:
    """How many ids both sequences begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class Group(NamedTuple):
    """Sequences, by their numbers in a list, whose first `shared` ids are the same."""

    members: list[int]
    shared: int
    tokens: int  # with the beginning counted once


def groups_of(sequences: Sequence[Sequence[int]], longest: int) -> Iterator[Group]:
    """Group sequences of at least one id so that beginnings are read once, in rows of at most `longest` tokens.

    A sequence joins the one before it, in alphabetical order of their ids, where that makes fewer tokens than a row of its
    own. One that is longer than `longest` stands alone. At least its last id is a sequence's own.
    """
    group = Group([], 0, 0)
    for number in sorted(range(len(sequences)), key=lambda number: tuple(sequences[number])):
        ids = sequences[number]
        if group.members:
            last = sequences[group.members[-1]]
            shared = min(group.shared, shared_length(last, ids), len(ids) - 1)
            members = len(group.members)
            tokens = group.tokens + members * (group.shared - shared) - group.shared + len(ids)
            if tokens < group.tokens + len(ids) and tokens <= longest:
                group = Group([*group.members, number], shared, tokens)
                continue
            yield group
        group = Group([number], len(ids) - 1, len(ids))
    if group.members:
        yield group
