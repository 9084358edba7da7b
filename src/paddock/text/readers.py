"""Sources of data to documents, dialogs, prompts and preferences, streaming.

A source is a file, a folder, a glob or a hub data set, with a weight: how many times an epoch shows its rows. The paper
up-samples its most factual sources (section 2.1).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from paddock.errors import DataError, did_you_mean
from paddock.text.chat_format import dialog_text
from paddock.text.dialog import Dialog, Domain, Preference
from paddock.text.files import HUB, SUFFIXES, Row, RowError, TieError, is_readable, read_rows
from paddock.text.rows import conversation_of, dialog_of, document_of, preference_of, prompt_of
from paddock.text.scripts import Script, script_of

OnBadRow = Literal["error", "skip"]
Item = TypeVar("Item", str, Dialog, Preference, Script)


class Source(BaseModel):
    """Where data is, and how many times an epoch shows its rows. A plain string is a path with weight 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="A file, a folder, a glob, or hf://owner/name[/config][:split]")
    weight: float = Field(
        default=1.0, gt=0, description="How many times an epoch shows each row; 2.5: twice, half of them thrice"
    )
    domain: Domain | None = Field(
        default=None, description="helpfulness or safety: that of its dialogs and pairs which name none themselves"
    )
    only: Domain | None = Field(
        default=None,
        description="helpfulness or safety: the domain whose dialogs and pairs are read; others are passed over",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": str(value)} if isinstance(value, str | Path) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Path | dict | Source) else value


Sources = Annotated[tuple[Source, ...], BeforeValidator(_as_list)]
"""One source or several, as a setting."""


@dataclass
class ReadReport:
    """What was read. Repeats by weight count in `rows`, and nowhere else."""

    rows: int = 0  # handed on
    skipped: Counter[str] = field(default_factory=Counter)  # bad rows, by reason
    labelled_bad: int = 0  # sound rows whose reply is labelled as bad, which no one should learn from
    held_out_elsewhere: int = 0  # of those handed on: not learnt from, since the validation files hold rows like them
    ties: int = 0  # sound pairs neither of whose replies is better
    other_domain: int = 0  # sound rows of another domain than the one that their source is read for
    not_learnt: int = 0  # of those handed on: a stage's settings leave them out of what is learnt from

    def summary(self) -> str:
        """`1,000 rows; 3 skipped (empty text 2, not JSON 1)`."""
        text = f"{self.rows:,} rows"
        if self.skipped:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.skipped.most_common())
            text += f"; {self.skipped.total():,} skipped ({reasons})"
        if self.labelled_bad:
            text += f"; {self.labelled_bad:,} labelled as bad replies left out"
        if self.ties:
            text += f"; {self.ties:,} ties left out"
        if self.other_domain:
            text += f"; {self.other_domain:,} of another domain passed over"
        if self.not_learnt:
            text += f"; {self.not_learnt:,} not learnt from, by the settings"
        if self.held_out_elsewhere:
            text += f"; {self.held_out_elsewhere:,} left out, which the validation files hold as well"
        return text


AnySource = Source | str | Path


def read_documents(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[str]:
    """The texts of `sources`, one source after another.

    `seed` decides which rows the fraction of a weight picks. With `on_bad_row` "skip", bad rows are counted in `report` and
    passed over. Raises DataError with file, line, field and mend: at once for a missing source, later for a bad row.
    """
    return _read(sources, document_of, seed, on_bad_row, report)


def read_dialogs(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[Dialog]:
    """The finished dialogs of `sources`: each ends with an answer. Otherwise as `read_documents`."""
    return _read(sources, dialog_of, seed, on_bad_row, report)


def read_prompts(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[Dialog]:
    """The prompts of `sources`: each dialog up to its last user message. Otherwise as `read_documents`."""
    return _read(sources, prompt_of, seed, on_bad_row, report)


def read_conversations(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[Dialog]:
    """The dialogs of `sources` as they stand, ending with an answer or with the user. Otherwise as `read_documents`."""
    return _read(sources, conversation_of, seed, on_bad_row, report)


def read_preferences(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[Preference]:
    """The preferences of `sources`. Otherwise as `read_documents`."""
    return _read(sources, preference_of, seed, on_bad_row, report)


def read_scripts(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[Script]:
    """The user's messages of `sources`, dialog by dialog. Otherwise as `read_documents`."""
    return _read(sources, script_of, seed, on_bad_row, report)


def read_texts(
    sources: Iterable[AnySource], *, seed: int = 0, on_bad_row: OnBadRow = "error", report: ReadReport | None = None
) -> Iterator[str]:
    """Documents as they are, dialogs in the chat format: what a tokenizer is trained on. Otherwise as `read_documents`."""
    return _read(sources, _text_of, seed, on_bad_row, report)


def _text_of(row: Row) -> str | None:
    if "text" in row:
        return document_of(row)
    dialog = dialog_of(row)
    return None if dialog is None else dialog_text(dialog)


def locations(source: AnySource) -> list[str]:
    """The files of a source in a fixed order, or the hub data set that it names. Raises DataError where there are none.

    Of a folder or a glob, files of unknown endings and hidden ones are passed over.
    """
    path = Source.model_validate(source).path
    if path.startswith(HUB) or Path(path).is_file():
        return [path]
    anchor = Path(path).anchor
    matches = Path(path).rglob("*") if Path(path).is_dir() else Path(anchor).glob(path.removeprefix(anchor))
    files = sorted(str(match) for match in matches if match.is_file() and is_readable(match))
    if files:
        return files
    if Path(path).is_dir() or any(mark in path for mark in "*?["):
        raise DataError(path, "there is no file to read", mend=f"Known endings: {', '.join(SUFFIXES)}")
    siblings = [other.name for other in Path(path).parent.glob("*")]
    raise DataError(path, "there is no such file or folder", mend=did_you_mean(Path(path).name, siblings).strip())


def _read(
    sources: Iterable[AnySource],
    item_of: Callable[[Row], Item | None],
    seed: int,
    on_bad_row: OnBadRow,
    report: ReadReport | None,
) -> Iterator[Item]:
    """Find every source now, and read when asked."""
    chosen = [Source.model_validate(source) for source in sources]
    found = [(source, locations(source)) for source in chosen]
    report = ReadReport() if report is None else report

    def items() -> Iterator[Item]:
        for number, (source, places) in enumerate(found):
            for passed in range(math.ceil(source.weight)):
                share, first_pass = min(source.weight - passed, 1.0), passed == 0
                for row_number, (place, line, row) in enumerate(_rows(places)):
                    if share < 1 and not _is_picked(share, seed, number, row_number):
                        continue
                    try:
                        item = _item(row, item_of)
                    except TieError:
                        report.ties += first_pass
                        continue
                    except RowError as error:
                        if on_bad_row == "error":
                            raise DataError(place, error.problem, line=line, field=error.field, mend=error.mend) from None
                        report.skipped[error.reason] += first_pass
                        continue
                    if item is None:
                        report.labelled_bad += first_pass
                    elif (placed := _placed(item, source, f"{place}:{line}")) is None:
                        report.other_domain += first_pass
                    else:
                        report.rows += 1
                        yield placed

    return items()


def _placed(item: Item, source: Source, place: str) -> Item | None:
    """The item with its place, and with the domain of its source where it names none; None where another is asked for.

    A text and a script have no domain.
    """
    if isinstance(item, str):
        return None if source.only else item
    placed = replace(item, source=place)
    if isinstance(placed, Script):
        return None if source.only else placed
    placed = replace(placed, domain=placed.domain or source.domain)
    return None if source.only and placed.domain != source.only else placed


def _item(row: Row | RowError, item_of: Callable[[Row], Item | None]) -> Item | None:
    if isinstance(row, RowError):
        raise row
    return item_of(row)


def _rows(places: list[str]) -> Iterator[tuple[str, int, Row | RowError]]:
    for place in places:
        for line, row in read_rows(place):
            yield place, line, row


def _is_picked(share: float, seed: int, source_number: int, row_number: int) -> bool:
    """Whether the row belongs to the `share` of its source that the seed picks: a hash, so that nothing is remembered."""
    digest = hashlib.blake2b(f"{seed} {source_number} {row_number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
