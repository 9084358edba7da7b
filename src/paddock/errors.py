"""Every error that a user can meet.

    PaddockError              a user's mistake or their machine's limit: exit code 2, no traceback
    ├── SettingsError         a recipe or a setting that cannot be: unknown key, wrong type, impossible combination
    ├── DataError             a row or a file that cannot be read: names file, line, field and the mend
    │   └── EmptyDataError    nothing was read, or nothing that could be used
    ├── CheckpointError       a model folder or a saved state that cannot be used
    ├── UnsupportedError      something a model or back end cannot do (log-probs from a file of ready replies)
    ├── MissingExtraError     an optional dependency that is not installed: names the command that installs it
    └── TrainingError         a run that must stop: a non-finite loss, a full disk

An error says where, what, and the mend. Anything else that escapes is a defect of Paddock: exit code 1, with a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class PaddockError(Exception):
    """The base of every error that is the user's to mend."""


class SettingsError(PaddockError):
    """A recipe or a setting that cannot be."""


class DataError(PaddockError):
    """A row or a file that cannot be read.

    `line` counts from 1 (a row of Parquet counts as a line); `mend` tells the user what would be right.
    """

    def __init__(
        self, path: str | Path, problem: str, *, line: int | None = None, field: str | None = None, mend: str | None = None
    ) -> None:
        self.path, self.problem, self.line, self.field, self.mend = str(path), problem, line, field, mend
        where = self.path if line is None else f"{self.path}:{line}"
        what = problem if field is None else f"field {field!r}: {problem}"
        super().__init__(f"{where}: {what}" + (f". {mend}" if mend else ""))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip between processes of a pool."""
        return (_rebuild_data_error, (self.path, self.problem, self.line, self.field, self.mend))


class EmptyDataError(DataError):
    """Sources of which nothing was read, or nothing that could be used."""


def _rebuild_data_error(path: str, problem: str, line: int | None, field: str | None, mend: str | None) -> DataError:
    return DataError(path, problem, line=line, field=field, mend=mend)


class CheckpointError(PaddockError):
    """A model folder or a saved state that cannot be used."""


class UnsupportedError(PaddockError):
    """Something that a model or a back end cannot do."""


class MissingExtraError(PaddockError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed. Install it: pip install 'paddock[{extra}]'"
        )


class TrainingError(PaddockError):
    """A run that must stop before it does harm."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the nearest known word, or an empty string where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""
