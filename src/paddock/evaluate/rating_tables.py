"""Tables of ratings as people keep them: long (`item,rater,rating`, a row a rating) or wide (a column a rater)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddock.errors import DataError
from paddock.evaluate.comparison import Judgement, outcome_of
from paddock.evaluate.ratings import Ratings, checked_categories, code_ratings
from paddock.text.tables import Table, is_missing

ITEM_NAMES = ("item", "id", "prompt_id", "prompt")
# Columns of a wide table that are no raters, unless they are named as such.
CONTEXT = (*ITEM_NAMES, "conversation", "model_a", "model_b", "category", "domain", "turns", "prompt_words")


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of a table's columns; `raters` are those of a wide table, none: all that are not context."""

    item: str | None = None
    rater: str = "rater"
    rating: str = "rating"
    raters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RatedItems:
    """Coded ratings (n, r) with the names of the items and of the raters; `path` names the file in errors."""

    ratings: Ratings
    items: tuple[str, ...]
    raters: tuple[str, ...]
    path: str = "ratings"


def rated_items(table: Table, layout: Layout, categories: Sequence[Any] | None = None) -> RatedItems:
    """The ratings of a long table (one with a column for ratings) or of a wide one.

    Raises DataError with line and column for a rating outside the declared categories, and for an item that one rater rates
    twice.
    """
    if not is_long(table, layout):
        raters = rater_columns(table, layout)
        ratings = _coded(table, table.together(raters), raters, categories)
        return RatedItems(ratings, tuple(map(str, range(1, table.rows + 1))), tuple(raters), table.path)
    item_column = item_of(table, layout)
    items, item_places = _numbered(table, item_column)
    raters, rater_places = _numbered(table, layout.rater)
    coded = _coded(table, table.together([layout.rating]), [layout.rating], categories)
    cells = item_places * len(raters) + rater_places
    _check_once(table, cells, item_column, layout.rater)
    codes = np.full(len(items) * len(raters), len(coded.categories), dtype=np.uint16)
    codes[cells] = coded.codes[:, 0]
    shaped = codes.reshape(len(items), len(raters))
    return RatedItems(Ratings(shaped, coded.categories, coded.declared), tuple(items), tuple(raters), table.path)


def judgements(table: Table, layout: Layout, groups: Sequence[str] = (), points: int = 7) -> list[Judgement]:
    """A judgement for every rating: a number on the scale of `points` (1: the first model is much better), or a word.

    `model_a` and `model_b` name the models, A and B without them; `conversation` names what prompts are turns of. `groups`
    are columns to group by; `turns` and `prompt_words` are counted where `prompt` holds text or messages and no such column
    is there. Raises DataError.
    """
    raters = [layout.rating] if is_long(table, layout) else rater_columns(table, layout, groups)
    ratings = table.together(raters)
    columns = {name: _group_column(table, name) for name in groups}
    prompts = _all_named(table, item_of(table, layout), "Every rating needs one")
    conversations = table.names("conversation") if "conversation" in table.columns else [None] * table.rows
    first, second = (_models(table, name, default) for name, default in (("model_a", "A"), ("model_b", "B")))
    found = []
    for row in range(table.rows):
        if first[row] == second[row]:
            raise table.error(row, f"{first[row]} is compared with itself", field="model_b")
        named = tuple((name, column[row]) for name, column in columns.items())
        for rater, value in zip(raters, ratings[row], strict=True):
            if is_missing(value):
                continue
            try:
                outcome = outcome_of(value, points)
            except (ValueError, TypeError) as error:
                raise table.error(row, str(error), field=rater) from None
            found.append(Judgement(prompts[row], outcome, first[row], second[row], named, conversations[row]))
    if not found:
        raise DataError(table.path, "there is no rating", mend=f"Columns read: {', '.join(raters)}")
    return found


def is_long(table: Table, layout: Layout) -> bool:
    """Whether the table has a column of ratings."""
    return not layout.raters and layout.rating in table.columns


def rater_columns(table: Table, layout: Layout, groups: Sequence[str] = ()) -> list[str]:
    """The columns of a wide table that are raters, and not context nor one of `groups`."""
    if layout.raters:
        return list(layout.raters)
    context = {*CONTEXT, layout.item, *groups}
    raters = [name for name in table.columns if name not in context]
    if layout.rater in raters:  # a long table, but for its column of ratings
        table.column(layout.rating)
    if not raters:
        raise DataError(table.path, "there is no column of ratings", mend=f"Its columns: {', '.join(table.columns)}")
    return raters


def item_of(table: Table, layout: Layout) -> str:
    """The column that names items."""
    if layout.item is not None:
        return layout.item
    return next((name for name in ITEM_NAMES if name in table.columns), "item")


def parse_categories(text: str | None) -> list[float | str] | None:
    """`1,2,3` or `poor,fair,good` as declared categories: numbers where all are. Raises SettingsError."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    try:
        return list(checked_categories([float(word) for word in words]))
    except ValueError:
        return list(checked_categories(words))


def _coded(table: Table, values: NDArray[Any], names: Sequence[str], categories: Sequence[Any] | None) -> Ratings:
    """Code a table's cells (n, c), with the file's line in an error."""
    if categories and not isinstance(categories[0], str) and values.dtype == object:
        _check_numbers(table, values, names)
    try:
        return code_ratings(values, categories, names)
    except DataError as error:
        if error.line is None:
            raise DataError(table.path, error.problem, mend=error.mend) from None
        raise table.error(error.line - 1, error.problem, field=error.field, mend=error.mend) from None


def _check_numbers(table: Table, values: NDArray[Any], names: Sequence[str]) -> None:
    for row, cells in enumerate(values):
        for name, value in zip(names, cells, strict=True):
            try:
                float(value if value is not None else 0)
            except (TypeError, ValueError):
                mend = "Leave the cell empty where there is no rating"
                raise table.error(row, f'"{value}" is not a number', field=name, mend=mend) from None


def _numbered(table: Table, column: str) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct names of a column in order of appearance, and each row's place among them."""
    places: dict[str, int] = {}
    names = _all_named(table, column, "Every rating needs one")
    numbers = np.array([places.setdefault(name, len(places)) for name in names], dtype=np.int64)
    return list(places), numbers


def _check_once(table: Table, cells: NDArray[np.int64], item: str, rater: str) -> None:
    order = np.argsort(cells, kind="stable")
    again = np.flatnonzero(np.diff(cells[order]) == 0)
    if len(again):
        row, earlier = int(order[again[0] + 1]), int(order[again[0]])
        who, what = table.names(rater)[row], table.names(item)[row]
        problem = f"{who} rates {what} a second time; the first is on line {table.line_of(earlier)}"
        raise table.error(row, problem, mend="Keep one of them")


def _models(table: Table, column: str, default: str) -> list[str]:
    return _all_named(table, column, "Name the model") if column in table.columns else [default] * table.rows


def _all_named(table: Table, column: str, mend: str) -> list[str]:
    """A column of names, one on every row."""
    names = table.names(column)
    if None in names:
        raise table.error(names.index(None), "it is empty", field=column, mend=mend)
    return [name for name in names if name is not None]


def _group_column(table: Table, name: str) -> list[float | str | None]:
    if name in ("turns", "prompt_words") and name not in table.columns and "prompt" in table.columns:
        count = _turns if name == "turns" else _words
        return [count(prompt) for prompt in table.column("prompt").tolist()]
    values = table.column(name).tolist()
    return [None if is_missing(value) else value if isinstance(value, int | float) else str(value) for value in values]


def _turns(prompt: Any) -> float:
    """The user's messages: text is one."""
    return float(sum(message.get("role") == "user" for message in prompt)) if isinstance(prompt, list) else 1.0


def _words(prompt: Any) -> float:
    """The words of a prompt, all its messages together."""
    texts = [str(message.get("content", "")) for message in prompt] if isinstance(prompt, list) else [str(prompt)]
    return float(sum(len(text.split()) for text in texts))
