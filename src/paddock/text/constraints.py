"""System-message constraints, and the rules that check whether a reply keeps them (paper section 3.3, Ghost Attention)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

ConstraintKind = Literal["figure", "hobby", "language", "end_word"]
CONSTRAINT_KINDS: tuple[ConstraintKind, ...] = get_args(ConstraintKind)

Speaks = Callable[[str, str], bool]
"""Whether a text (first) is in a language (second). Real languages and toy ones need different means."""

WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a system message asks of every reply.

    `kind` "figure": speak as `value`; "hobby": mention `value`; "language": speak `value`; "end_word": end with `value`.
    """

    kind: ConstraintKind
    value: str

    def to_row(self) -> dict[str, str]:
        """The constraint as JSON has it."""
        return {"kind": self.kind, "value": self.value}

    @staticmethod
    def from_row(row: dict[str, Any]) -> Constraint:
        """Read what `to_row` wrote. Raises ValueError for an unknown kind."""
        if row["kind"] not in CONSTRAINT_KINDS:
            raise ValueError(f'constraint "{row["kind"]}" is not one of {", ".join(CONSTRAINT_KINDS)}')
        return Constraint(row["kind"], row["value"])


def words_of(text: str) -> list[str]:
    """The words and numbers of `text`, lower-cased, without punctuation."""
    return WORD.findall(text.lower())


def keeps(constraint: Constraint, reply: str, speaks: Speaks) -> bool:
    """Whether `reply` keeps `constraint`.

    A figure and a hobby must be named as whole words; an end word must be the last word; a language is left to `speaks`.
    """
    if constraint.kind == "language":
        return speaks(reply, constraint.value)
    found, wanted = words_of(reply), words_of(constraint.value)
    if constraint.kind == "end_word":
        return bool(wanted) and found[-len(wanted) :] == wanted
    return bool(wanted) and any(found[at : at + len(wanted)] == wanted for at in range(len(found) - len(wanted) + 1))


def speaks_by_vocabulary(vocabularies: Mapping[str, Collection[str]], neutral: Collection[str] = ()) -> Speaks:
    """A rule for toy languages: a text speaks one where at least 80% of its words belong to the language's vocabulary.

    Numbers and the `neutral` words (names) belong to every language and are not counted, but one word of the language's own
    must be there.
    """
    neutral_words = {word.lower() for word in neutral}

    def speaks(text: str, language: str) -> bool:
        vocabulary = vocabularies.get(language, ())
        telling = [word for word in words_of(text) if not word.isdigit() and word not in neutral_words]
        own = sum(word in vocabulary for word in telling)
        return own > 0 and own >= 0.8 * len(telling)

    return speaks
