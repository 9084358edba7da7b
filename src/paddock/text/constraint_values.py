"""What constraints may ask for: short lists to begin with, and lists of one's own from a YAML file.

hobby: [tennis, chess]
figure: [Napoleon, Oscar Wilde]
language: [French, German]

Of each list a share is held out of training, by a hash of the value: what a model does with a value that no training showed
is measured on those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from paddock.errors import DataError, did_you_mean
from paddock.run_dir import hash_of
from paddock.settings import read_yaml_file
from paddock.text.constraints import CONSTRAINT_KINDS, FORMS, folded_words, problem_with_value

Values = Mapping[str, tuple[str, ...]]

HASHES = 2**64
LIST_MARK = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s*")
LONGEST_VALUE = 40  # characters: a longer line of a model's list is talk


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


BUILT_IN: Values = {
    "hobby": _parts(
        "tennis, chess, gardening, painting, hiking, cooking, photography, sailing, knitting, astronomy, fishing, pottery, "
        "cycling, birdwatching, calligraphy, archery, baking, climbing, swimming, origami, woodworking, juggling, rowing, "
        "skiing"
    ),
    "figure": _parts(
        "Napoleon, Oscar Wilde, Cleopatra, Marie Curie, Leonardo da Vinci, Jane Austen, Albert Einstein, Frida Kahlo, "
        "Julius Caesar, Ada Lovelace, Mozart, Joan of Arc, William Shakespeare, Amelia Earhart, Isaac Newton, Confucius, "
        "Charles Darwin, Queen Victoria, Aristotle, Florence Nightingale, Galileo Galilei, Mark Twain, Nikola Tesla, "
        "Catherine the Great"
    ),
    "language": _parts("French, German, Spanish, Italian, Portuguese, Dutch, Swedish, Polish, Russian, Japanese, Chinese"),
}
"""The paper's three kinds. It asked its own model for hobbies and figures, so that the model knew them."""


UNSEEN: Values = dict.fromkeys(FORMS, ("",))
"""Kinds that no training shows (paper, Figure 28: a haiku, one sentence): what consistency draws beside the others."""


def read_values(path: str | Path) -> Values:
    """The lists in a YAML file. Raises DataError, naming the line, for an unknown kind, where a kind has no list of texts,
    and for a value that no reply could keep."""
    found: dict[str, tuple[str, ...]] = {}
    for kind, values in read_yaml_file(path, "file of lists").items():
        if kind not in CONSTRAINT_KINDS:
            mend = f"Known: {', '.join(CONSTRAINT_KINDS)}.{did_you_mean(kind, CONSTRAINT_KINDS)}"
            raise DataError(path, f'"{kind}" is no kind of constraint', line=line_of(path, kind), field=kind, mend=mend)
        if not isinstance(values, list) or not values:
            raise DataError(path, "a list of texts was expected", line=line_of(path, kind), field=kind)
        for place, value in enumerate(values):
            if problem := problem_with_value(kind, value):
                mend = f'Write a word or a name, as in {kind}: ["{BUILT_IN.get(kind, ("lamp",))[0]}"], or leave it out'
                raise DataError(path, problem, line=line_of(path, kind, place), field=kind, mend=mend)
        found[kind] = tuple(values)
    return found


def line_of(path: str | Path, kind: str, place: int | None = None) -> int | None:
    """The line of a key of a YAML mapping, or of one item of the list under it; None where there is no such thing."""
    for key, value in getattr(yaml.compose(Path(path).read_text(encoding="utf-8")), "value", ()):
        if key.value == kind:
            items = value.value if isinstance(value, yaml.SequenceNode) else []
            node = items[place] if place is not None and place < len(items) else key
            return int(node.start_mark.line) + 1
    return None


def known_and_new(values: Values, share: float) -> tuple[Values, Values]:
    """Of each list, what training may ask for, and what it never does: about `share` of the values.

    A value is on one side by its hash alone, whatever its case and accents. But of two values or more at least one is new,
    and of any list at least one is known, so that a short list has both: give training and its check the same lists.
    """
    new = {kind: _held_out(kind, some, share) for kind, some in values.items()}
    known = {kind: tuple(value for value in some if value not in new[kind]) for kind, some in values.items()}
    return known, {kind: some for kind, some in new.items() if some}


def _held_out(kind: str, values: Sequence[str], share: float) -> tuple[str, ...]:
    if not share:
        return ()
    places = {value: int(hash_of(["held out", kind, folded_words(value)]), 16) % HASHES for value in values}
    ordered = sorted(places, key=lambda value: places[value])
    below = sum(place < share * HASHES for place in places.values())
    return tuple(ordered[: min(max(below, 1), len(ordered) - 1)])


def values_in(text: str) -> tuple[str, ...]:
    """The items of a list that a model wrote, a line each, in order and without repeats; lines of talk are passed over."""
    items = [LIST_MARK.sub("", line).strip(" .*") for line in text.splitlines() if LIST_MARK.match(line)]
    fine = (item for item in items if len(item) <= LONGEST_VALUE and not problem_with_value("hobby", item))
    return tuple(dict.fromkeys(fine))
