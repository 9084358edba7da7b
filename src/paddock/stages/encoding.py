"""A training stage's data: read, held out, encoded once into the stage's folder; or counted, for a dry run.

What is held out for validation is decided by a hash of each row's own text, so the same row falls on the same side in every
run, whatever stands beside it, and its copies fall with it. Where files are given to judge by, what they hold is not learnt
from.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field, model_validator

from paddock.errors import EmptyDataError, SettingsError
from paddock.model.config import ModelConfig
from paddock.progress import say
from paddock.run_dir import atomic_write, to_json
from paddock.text.chat_format import Encoded
from paddock.text.dialog import Dialog, opening_of
from paddock.text.packing import StoreSummary, TokenStore
from paddock.text.readers import OnBadRow, ReadReport, Source, Sources
from paddock.text.sample import Sample
from paddock.train.parallel import Ranks
from paddock.train.settings import TrainingSettings

Item = TypeVar("Item")
Store = TypeVar("Store")

HASHES = 2**64


class CorpusSettings(TrainingSettings):
    """Settings of a stage that learns from rows of files, some of them held out."""

    data: Sources = Field(min_length=1, description="what to learn from; a weight shows a source more often")
    validation: Sources = Field((), description="what to judge by; none: a share of the data is held out")
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


def everything(_: Any) -> bool:
    """Let every row learn and judge."""
    return True


def nothing(_: Any) -> bool:
    """Hold no row out."""
    return False


@dataclass(frozen=True)
class Rows(Generic[Item, Store]):
    """The rows of a training stage: how to read, tell apart, measure and encode them.

    `read` gives the rows of some sources; `key` is the text whose hash decides the side of the split; `size` is about how
    many bytes a row takes in its file; `write` encodes rows into a folder as they come, and `open` maps them into memory.
    `learns` leaves rows out of those to train on, `may_judge` out of those held out, and `judges` further out of those whose
    loss is the validation loss. A row that neither learns nor judges is of no use.
    """

    data: tuple[Source, ...]
    validation: tuple[Source, ...]
    validation_share: float
    read: Callable[[tuple[Source, ...], ReadReport], Iterator[Item]]
    key: Callable[[Item], str]
    size: Callable[[Item], int]
    write: Callable[[Path, Iterable[Item]], StoreSummary]
    open: Callable[[Path], Store]
    learns: Callable[[Item], bool] = everything
    judges: Callable[[Item], bool] = everything
    may_judge: Callable[[Item], bool] = everything

    def held_out(self) -> Iterator[Item]:
        """The rows held out for validation, in the order in which they are read."""
        if self.validation:
            yield from filter(self.may_judge, self.read(self.validation, ReadReport()))
        elif self.validation_share:
            is_held_out = self._is_held_out()
            yield from (row for row in self.read(self.data, ReadReport()) if is_held_out(row) and self.may_judge(row))

    def learnt_from(self, report: ReadReport) -> Iterator[Item]:
        """The rows to train on; what is read, held-out rows included, is counted in `report`.

        Rows with the key of a row of the validation files are left out and counted, and so are those that `learns` refuses.
        """
        is_held_out = self._is_held_out()
        for row in self.read(self.data, report):
            if is_held_out(row):
                report.held_out_elsewhere += bool(self.validation)
            elif self.learns(row):
                yield row
            else:
                report.not_learnt += 1

    def _is_held_out(self) -> Callable[[Item], bool]:
        """Whether the validation files hold a row's key; without such files, whether the row is of the share held out.

        It is where its hash is below the share of all hashes. Where no row that judges is, the one of them with the smallest
        hash is held out, with its copies.
        """
        if self.validation:
            places = {place_of(self.key(row)) for row in self.read(self.validation, ReadReport())}
            return lambda row: place_of(self.key(row)) in places
        if not self.validation_share:
            return nothing
        bound, smallest = int(self.validation_share * HASHES), HASHES
        for row in filter(self.judges, filter(self.may_judge, self.read(self.data, ReadReport()))):
            smallest = min(smallest, place_of(self.key(row)))
            if smallest < bound:
                break
        return lambda row: (place := place_of(self.key(row))) < bound or place == smallest


def dialog_rows(
    settings: CorpusSettings,
    read_rows: Callable[..., Iterator[Dialog]],
    encode: Callable[[Iterable[Dialog]], Iterator[Encoded]],
    vocab_size: int,
) -> Rows[Dialog, TokenStore]:
    """Dialogs or prompts, as `read_rows` of `text.readers` gives them; those that begin alike, up to the first answer, fall
    on the same side of the split.
    """

    def read(sources: tuple[Source, ...], report: ReadReport) -> Iterator[Dialog]:
        return read_rows(sources, seed=settings.seed, on_bad_row=settings.on_bad_row, report=report)

    return Rows(
        data=settings.data,
        validation=settings.validation,
        validation_share=settings.validation_share,
        read=read,
        key=lambda dialog: opening_of(dialog.messages),
        size=lambda dialog: len(json.dumps([asdict(message) for message in dialog.messages], ensure_ascii=False)),
        write=lambda folder, dialogs: TokenStore.write(folder, encode(dialogs), vocab_size),
        open=TokenStore.open,
    )


@dataclass(frozen=True)
class EncodedRows(Generic[Store]):
    """A stage's data, encoded: the stores, and the figures for `results.json`."""

    train: Store
    validation: Store | None
    figures: dict[str, Any]


def _nothing_left(rows: Rows[Item, Store], report: ReadReport) -> EmptyDataError:
    return EmptyDataError(
        rows.data[0].path if rows.data else "data",
        f"none of the {report.rows:,} rows is left to learn from: all are held out, or left out by settings",
        mend="Give more rows, files of their own as validation, or validation_share 0",
    )


def encode_rows(rows: Rows[Item, Store], folder: Path, ranks: Ranks) -> EncodedRows[Store]:
    """Encode `rows` into `folder`, or open what is whole there already. The first rank encodes, and the others wait.

    Where no row is left to judge by, there is no validation store. Raises DataError for a bad row (by setting), and
    EmptyDataError where nothing is left to train on.
    """
    about = folder / "data.json"
    if ranks.is_first and not about.exists():
        report = ReadReport()
        try:
            train = rows.write(folder / "train", rows.learnt_from(report))
        except EmptyDataError as error:
            raise _nothing_left(rows, report) if report.rows else error from None
        validation = None
        with suppress(EmptyDataError):
            validation = rows.write(folder / "validation", filter(rows.judges, rows.held_out()))
        figures = {
            "rows": report.rows,
            "skipped": dict(report.skipped),
            "labelled_bad": report.labelled_bad,
            "held_out_elsewhere": report.held_out_elsewhere,
            "ties": report.ties,
            "other_domain": report.other_domain,
            "not_learnt": report.not_learnt,
            "train": asdict(train),
            "validation": asdict(validation) if validation else None,
        }
        atomic_write(about, to_json(figures))
        unjudged = "" if validation else "; no row to judge by"
        say(f"data: {report.summary()}; {train.tokens:,} tokens to train on{unjudged}")
    ranks.wait()
    figures = json.loads(about.read_text())
    return EncodedRows(
        rows.open(folder / "train"),
        rows.open(folder / "validation") if figures["validation"] else None,
        figures,
    )


def count_rows(rows: Rows[Item, Store], use: Callable[[Store], int]) -> dict[str, Any]:
    """What a run would read: rows, tokens, and the batches of an epoch, which `use` works out from a store.

    All of a small corpus is read; of a larger one the first rows, and file sizes give the rest: `counted` says which.
    """
    report = ReadReport()
    sample = Sample(rows.learnt_from(report), rows.size, rows.data)
    with tempfile.TemporaryDirectory() as folder:
        summary = rows.write(Path(folder) / "train", sample)
        batches = use(rows.open(Path(folder) / "train"))
    return {
        "rows": round(sample.rows * sample.scale),
        "tokens": round(summary.tokens * sample.scale),
        "loss_tokens": round(summary.loss_tokens * sample.scale),
        "skipped": report.skipped.total(),
        "steps_per_epoch": max(round(batches * sample.scale), 1),
        "counted": sample.counted,
    }


def place_of(text: str) -> int:
    """A hash of `text`, from 0 up to HASHES, by which a share of all texts is picked."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
