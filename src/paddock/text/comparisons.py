"""Two replies to one prompt that someone is to compare: what stands between sampling and annotators (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paddock.errors import DataError
from paddock.text.dialog import Dialog, Preference
from paddock.text.files import RowError, read_rows
from paddock.text.rows import prompt_of


@dataclass(frozen=True, slots=True)
class Comparison:
    """A prompt and two replies, each with the name of what wrote it; which one is `a` says nothing."""

    prompt: Dialog
    reply_a: str
    reply_b: str
    model_a: str | None = None
    model_b: str | None = None

    def to_row(self) -> dict[str, Any]:
        """The comparison as a line of `pairs.jsonl`."""
        row = {
            "id": self.prompt.id,
            "domain": self.prompt.domain,
            "risk_category": self.prompt.risk_category,
            "prompt": [asdict(message) for message in self.prompt.messages],
            "reply_a": self.reply_a,
            "reply_b": self.reply_b,
            "model_a": self.model_a,
            "model_b": self.model_b,
        }
        return {key: value for key, value in row.items() if value is not None}


def read_comparisons(path: Path) -> Iterator[Comparison]:
    """The comparisons of a `pairs.jsonl`. Raises DataError for a row that is none."""
    for line, row in read_rows(str(path)):
        try:
            if isinstance(row, RowError):
                raise row
            prompt, replies = prompt_of(row), (row["reply_a"], row["reply_b"])
        except RowError as error:
            raise DataError(path, error.problem, line=line, field=error.field, mend=error.mend) from None
        except KeyError as error:
            raise DataError(path, f"there is no {error}", line=line, mend="A comparison needs reply_a and reply_b") from None
        yield Comparison(prompt, *replies, row.get("model_a"), row.get("model_b"))


def preference_row(preference: Preference) -> dict[str, Any]:
    """A preference in our own rated form (docs/data.md), without the fields that are not known."""
    row = asdict(preference)
    del row["source"]
    return {key: value for key, value in row.items() if value is not None} | {"prompt": list(row["prompt"])}
