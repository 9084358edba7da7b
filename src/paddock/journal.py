"""An append-only file of results by key: what a job that dies has got so far.

A file of JSON lines, `{"key": ..., "value": ...}`, in blocks with an empty line after each. A block is there whole or not at
all: what a kill left of the last one is cut off when the file is opened again. Of two values of one key the later holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddock.errors import DataError

BLOCK_END = b"\n\n"


class Journal:
    """The results in a file, and those that are added to it. One process writes a file at a time."""

    def __init__(self, path: Path) -> None:
        """Read `path` where it is there. Raises DataError for a file that holds something else."""
        self.path = path
        self.values: dict[str, Any] = {}
        if not path.exists():
            return
        content = path.read_bytes()
        end = content.rfind(BLOCK_END)
        whole = content[: end + len(BLOCK_END)] if end >= 0 else b""
        for number, line in enumerate(whole.split(b"\n"), start=1):
            if line:
                self._take(line, number)
        if len(whole) < len(content):
            os.truncate(path, len(whole))

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a block, on disk when this returns. No values: nothing happens."""
        if not values:
            return
        lines = [json.dumps({"key": key, "value": value}) + "\n" for key, value in values.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write("".join([*lines, "\n"]).encode())
            file.flush()
            os.fsync(file.fileno())
        self.values.update(values)

    def _take(self, line: bytes, number: int) -> None:
        try:
            row = json.loads(line)
            self.values[row["key"]] = row["value"]
        except (ValueError, KeyError, TypeError):
            mend = "Move the file away; what it holds is then asked for again"
            raise DataError(self.path, "not a line of a journal", line=number, mend=mend) from None
