"""What a page is made of. A section of the report is a title and some of these blocks; the template draws each kind.

Every string in a block is plain text: the template escapes it. The one exception is a figure's SVG, which `figures` draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from paddock.text.dialog import Message


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    kind: ClassVar = "prose"
    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A name with its value; `code` sets the value in a fixed-width face."""

    name: str
    value: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values, folded away under a title."""

    kind: ClassVar = "facts"
    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; `published` marks figures that are the paper's, not this run's; `total` a sum."""

    cells: tuple[str, ...]
    published: bool = False
    total: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its first column holds words, the others numbers."""

    kind: ClassVar = "table"
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing: SVG from `figures`, a title, what it shows, and the same in words for who cannot see it."""

    svg: str
    title: str
    caption: str
    description: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Drawings side by side."""

    kind: ClassVar = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score and its interval, in words and as places on a scale of 0 to 100; None where unknown."""

    group: str
    estimate: str
    interval: str
    n: str
    place: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores under each other, each with a dot and whiskers on one scale, whose ends are named."""

    kind: ClassVar = "scores"
    title: str
    rows: tuple[ScoreRow, ...]
    scale: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Folded:
    """Scores that are folded away under a title."""

    kind: ClassVar = "folded"
    title: str
    blocks: tuple[Scores, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt with its answer: turns of a conversation, or plain text (one user turn, `plain`) and how a model went on."""

    messages: tuple[Message, ...]
    facts: tuple[Fact, ...]
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """What a model answered."""

    kind: ClassVar = "samples"
    title: str
    samples: tuple[Sample, ...]
    caption: str


@dataclass(frozen=True, slots=True)
class SpineItem:
    """A stage of the run: how it stands, how long it worked (empty: unknown), what it read and made, and its figures."""

    name: str
    about: str
    state: Literal["complete", "unfinished", "not started"]
    duration: str
    read: tuple[str, ...]
    made: tuple[str, ...]
    figures: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Spine:
    """The stages of a run in order."""

    kind: ClassVar = "spine"
    items: tuple[SpineItem, ...]


Block = Prose | Facts | Table | Figures | Scores | Folded | Samples | Spine


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class HeadlineFigure:
    """One of the few figures at the top of the page."""

    value: str
    label: str
    note: str = ""
