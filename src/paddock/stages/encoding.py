"""A training stage's data: read, held out, encoded once into the stage's folder; or counted, for a dry run.

What is held out for validation is decided by a hash of each row's own text, so the same row falls on the same side in every
run, whatever stands beside it, and its copies fall with it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field, model_validator

from paddock.errors import SettingsError
from paddock.model.config import ModelConfig
from paddock.progress import say
from paddock.run_dir import atomic_write, to_json
from paddock.text.chat_format import Encoded
from paddock.text.files import HUB
from paddock.text.packing import TokenStore
from paddock.text.readers import OnBadRow, ReadReport, Source, locations
from paddock.train.parallel import Ranks
from paddock.train.settings import TrainingSettings

Item = TypeVar("Item")

HASHES = 2**64
COUNTED_ROWS = 20_000  # of a dry run: a few seconds
EXPANSION = {".gz": 4.0, ".zst": 4.0, ".parquet": 3.0}  # of text, about


class CorpusSettings(TrainingSettings):
    """Settings of a stage that learns from rows of files, some of them held out."""

    data: tuple[Source, ...] = Field(min_length=1, description="what to learn from; a weight shows a source more often")
    validation: tuple[Source, ...] = Field((), description="what to judge by; none: a share of the data is held out")
    validation_share: float = Field(0.01, ge=0, lt=1, description="share of the rows held out, by a hash of their text")
    on_bad_row: OnBadRow = Field("error", description="stop at a bad row, or skip and count it")
    context: int | None = Field(None, ge=2, description="tokens of a row; None: the model's context (paper 2.2: 4,096)")

    @model_validator(mode="after")
    def _can_judge(self) -> CorpusSettings:
        if self.keep == "best" and not self.validation and not self.validation_share:
            raise ValueError("keep: best judges by validation data: give some, or a validation_share, or set keep: last")
        return self

    def context_for(self, config: ModelConfig) -> int:
        """Tokens of a row. Raises SettingsError where the model cannot hold so many."""
        context = self.context or config.context_length
        if context > config.context_length:
            raise SettingsError(f"context {context} is more than the model's {config.context_length}")
        return context


@dataclass(frozen=True)
class Rows(Generic[Item]):
    """The rows of a training stage: how to read, tell apart, measure and encode them.

    `read` gives the rows of some sources; `key` is the text whose hash decides the side of the split; `size` is about how
    many bytes a row takes in its file; `encode` streams.
    """

    data: tuple[Source, ...]
    validation: tuple[Source, ...]
    validation_share: float
    read: Callable[[tuple[Source, ...], ReadReport], Iterator[Item]]
    key: Callable[[Item], str]
    size: Callable[[Item], int]
    encode: Callable[[Iterable[Item]], Iterator[Encoded]]

    def held_out(self) -> Iterator[Item]:
        """The rows held out for validation, in the order in which they are read."""
        if self.validation:
            yield from self.read(self.validation, ReadReport())
        elif self.validation_share:
            bound = self._bound()
            yield from (row for row in self.read(self.data, ReadReport()) if _hash(self.key(row)) < bound)

    def learnt_from(self, report: ReadReport) -> Iterator[Item]:
        """The rows to train on; what is read, held-out rows included, is counted in `report`."""
        bound = 0 if self.validation or not self.validation_share else self._bound()
        yield from (row for row in self.read(self.data, report) if _hash(self.key(row)) >= bound)

    def _bound(self) -> int:
        """The hash below which a row is held out: the share of all hashes, or enough for a single row of a small corpus."""
        bound, smallest = int(self.validation_share * HASHES), HASHES
        for row in self.read(self.data, ReadReport()):
            smallest = min(smallest, _hash(self.key(row)))
            if smallest < bound:
                return bound
        return smallest + 1


@dataclass(frozen=True)
class EncodedRows:
    """A stage's data, encoded: the stores, and the figures for `results.json`."""

    train: TokenStore
    validation: TokenStore | None
    figures: dict[str, Any]


def encode_rows(rows: Rows[Item], folder: Path, vocab_size: int, ranks: Ranks) -> EncodedRows:
    """Encode `rows` into `folder`, or open what is whole there already. The first rank encodes, and the others wait.

    Raises DataError for a bad row (by setting), and where nothing is left to train on.
    """
    about = folder / "data.json"
    if ranks.is_first and not about.exists():
        report = ReadReport()
        train = TokenStore.write(folder / "train", rows.encode(rows.learnt_from(report)), vocab_size)
        validation = None
        if rows.validation or rows.validation_share:
            validation = TokenStore.write(folder / "validation", rows.encode(rows.held_out()), vocab_size)
        figures = {
            "rows": report.rows,
            "skipped": dict(report.skipped),
            "train": asdict(train),
            "validation": asdict(validation) if validation else None,
        }
        atomic_write(about, to_json(figures))
        say(f"data: {report.summary()}; {train.tokens:,} tokens to train on")
    ranks.wait()
    figures = json.loads(about.read_text())
    return EncodedRows(
        TokenStore.open(folder / "train"),
        TokenStore.open(folder / "validation") if figures["validation"] else None,
        figures,
    )


def count_rows(rows: Rows[Item], vocab_size: int, use: Callable[[TokenStore], int]) -> dict[str, Any]:
    """What a run would read: rows, tokens, and the batches of an epoch, which `use` works out from a store.

    All of a small corpus is read; of a larger one the first rows, and file sizes give the rest: `counted` says which.
    """
    report, sizes = ReadReport(), 0

    def measured() -> Iterator[Item]:
        nonlocal sizes
        for row in islice(rows.learnt_from(report), COUNTED_ROWS):
            sizes += rows.size(row)
            yield row

    with tempfile.TemporaryDirectory() as folder:
        summary = TokenStore.write(Path(folder) / "train", rows.encode(measured()), vocab_size)
        batches = use(TokenStore.open(Path(folder) / "train"))
    scale, counted = 1.0, "exactly"
    if summary.sequences == COUNTED_ROWS:
        scale = max(_bytes_of(rows.data) / sizes, 1.0)
        counted = (
            f"estimated from the first {COUNTED_ROWS:,} rows and the sizes of the files (a hub data set counts as none)"
        )
    return {
        "rows": round(summary.sequences * scale),
        "tokens": round(summary.tokens * scale),
        "loss_tokens": round(summary.loss_tokens * scale),
        "skipped": report.skipped.total(),
        "steps_per_epoch": max(round(batches * scale), 1),
        "counted": counted,
    }


def _bytes_of(sources: tuple[Source, ...]) -> float:
    """About how many bytes of rows the files of the sources give an epoch."""
    return sum(
        source.weight * Path(place).stat().st_size * EXPANSION.get(Path(place).suffix, 1.0)
        for source in sources
        for place in locations(source)
        if not place.startswith(HUB)
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
