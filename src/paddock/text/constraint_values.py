"""What constraints may ask for: short lists to begin with, and lists of one's own from a YAML file.

hobby: [tennis, chess]
figure: [Napoleon, Oscar Wilde]
language: [French, German]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from paddock.errors import DataError, did_you_mean
from paddock.settings import read_yaml
from paddock.text.constraints import CONSTRAINT_KINDS

Values = Mapping[str, tuple[str, ...]]

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


def read_values(path: str | Path) -> Values:
    """The lists in a YAML file. Raises DataError for an unknown kind, and where a kind has no list of texts."""
    if not Path(path).is_file():
        raise DataError(path, "there is no such file of lists")
    found: dict[str, tuple[str, ...]] = {}
    for kind, values in read_yaml(Path(path).read_text(encoding="utf-8"), str(path)).items():
        if kind not in CONSTRAINT_KINDS:
            mend = f"Known: {', '.join(CONSTRAINT_KINDS)}.{did_you_mean(kind, CONSTRAINT_KINDS)}"
            raise DataError(path, f'"{kind}" is no kind of constraint', field=kind, mend=mend)
        if not isinstance(values, list) or not values or not all(isinstance(value, str) and value for value in values):
            raise DataError(path, "a list of texts was expected", field=kind)
        found[kind] = tuple(values)
    return found


def values_in(text: str) -> tuple[str, ...]:
    """The items of a list that a model wrote, a line each, in order and without repeats; lines of talk are passed over."""
    items = [LIST_MARK.sub("", line).strip(" .*") for line in text.splitlines() if LIST_MARK.match(line)]
    return tuple(dict.fromkeys(item for item in items if 0 < len(item) <= LONGEST_VALUE))
