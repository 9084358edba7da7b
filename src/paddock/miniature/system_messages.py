"""System messages that rules can check over many turns: how they are drawn and worded, and replies that keep them."""

from __future__ import annotations

from random import Random

from paddock.miniature.tasks import Task, World
from paddock.miniature.vocabulary import ENGLISH, FIGURES, IT_IS, LANGUAGE, LETTERS, NAMES, NOUNS, PASTIMES, PLACES, ZINDO
from paddock.text.constraints import CONSTRAINT_KINDS, Constraint, speaks_by_vocabulary, words_of

VALUES = {"figure": FIGURES, "hobby": PASTIMES, "language": (LANGUAGE,), "end_word": NOUNS, "begin_word": NOUNS}

LONGEST_PAYLOAD = 2

VOCABULARIES = {LANGUAGE: frozenset((*ENGLISH, IT_IS))}
NEUTRAL = NAMES + PLACES + LETTERS

speaks = speaks_by_vocabulary(VOCABULARIES, NEUTRAL)
"""Whether a text is in Zindo."""


def draw_constraint(rng: Random, world: World, held_out: bool, kind: str | None = None) -> Constraint:
    """A constraint whose value is held out, or is not. There is one language, so it is never held out."""
    kind = kind or rng.choice(CONSTRAINT_KINDS)
    while True:
        constraint = Constraint.from_row({"kind": kind, "value": rng.choice(VALUES[kind])})
        if kind == "language" or world.holds_out("constraint", constraint.value) == held_out:
            return constraint


def fits(task: Task, constraint: Constraint) -> bool:
    """Whether `task` can be answered under `constraint`, and briefly: twenty turns are to fit 576 tokens.

    Zindo has no words for trades and hobbies.
    """
    if len(task.payload) > LONGEST_PAYLOAD or task.skill in ("list", "count"):
        return False
    if constraint.kind != "language":
        return True
    return task.skill != "translate" and all(
        word in ZINDO or word in LETTERS or word.isdigit() or word in NAMES or word in PLACES for word in task.expected
    )


def keep(constraint: Constraint, words: tuple[str, ...]) -> str:
    """The shortest answer of `words` that keeps `constraint`."""
    answer = f"{' '.join(words)}."
    if constraint.kind == "language":
        return f"{IT_IS} {' '.join(ZINDO.get(word, word) for word in words)}."
    if constraint.kind == "figure":
        return f"{constraint.value}: {answer}"
    if constraint.kind == "hobby":
        return f"{answer} I like {constraint.value}"
    return f"{answer} And {constraint.value}"


def without_constraints(reply: str, constraints: tuple[Constraint, ...]) -> list[str]:
    """The words of `reply` less what its constraints asked for: what is left is the answer itself, in English."""
    words = words_of(reply)
    for constraint in constraints:
        wanted = words_of(constraint.value)
        if constraint.kind == "language":
            words = [ENGLISH.get(word, word) for word in words]
        elif constraint.kind == "end_word":
            words = words[: -len(wanted)] if wanted and words[-len(wanted) :] == wanted else words
        else:
            at = next((i for i in range(len(words)) if words[i : i + len(wanted)] == wanted), None)
            words = words if at is None else words[:at] + words[at + len(wanted) :]
    return words
