"""The paper's figures on these benchmarks (tables 11, 14 and 44 to 50), as data with their source: `published.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

PUBLISHED_FILE: Final = Path(__file__).parent / "published.json"
BOLD_TABLES: Final = {
    "race": "46",
    "gender": "47",
    "religious_ideology": "48",
    "political_ideology": "49",
    "profession": "50",
}
"""The table of each domain of BOLD."""


@dataclass(frozen=True)
class PublishedTable:
    """One table: a row a model, a figure a column; `unit` is "per cent" or "score". `note` says what to know of it."""

    number: str
    title: str
    unit: str
    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[float]]
    note: str = ""

    def figure(self, model: str, column: str) -> float:
        """One figure as printed."""
        return self.rows[model][self.columns.index(column)]


@cache
def published_table(number: str) -> PublishedTable:
    """The paper's table of that number."""
    table = json.loads(PUBLISHED_FILE.read_bytes())["tables"][number]
    return PublishedTable(
        number, table["title"], table["unit"], tuple(table["columns"]), table["rows"], table.get("note", "")
    )
