"""Ratings as codes of categories, and items that were rated alike counted together.

Coefficients of agreement depend on an item only through how many raters chose each category. A million items have few such
patterns: five raters and seven categories have 791. So ratings are coded once, patterns are counted, and every formula works
on patterns.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from paddock.errors import DataError, SettingsError

MOST_CATEGORIES = 1000  # a matrix of weights of this size has a million entries; beyond, these are measurements
KEY_LIMIT = 2**62
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, with bits of no pattern: a product's upper bits depend on all of a key's
BYTE = 256
PEEK = 4096  # ratings that are likely to show every category

Category = float | str
Codes = NDArray[Any]  # of small integers
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings by category, of any shape; for `agreement`, (items, raters).

    `codes` are places in `categories`, and `len(categories)` where there is no rating. Numbers stand in rising order, labels
    in the declared order. `declared` tells whether the categories were given or only seen.
    """

    codes: Codes
    categories: tuple[Category, ...]
    declared: bool

    @property
    def are_numbers(self) -> bool:
        """Whether the categories are scores, and not labels."""
        return bool(self.categories) and not isinstance(self.categories[0], str)

    @property
    def scores(self) -> list[float]:
        """The scores of the categories: numbers are their own, labels have the ranks 1 to q."""
        return (
            [float(c) for c in self.categories] if self.are_numbers else [float(k + 1) for k in range(len(self.categories))]
        )


@dataclass(frozen=True, slots=True)
class Patterns:
    """Items by how often each category was given: `counts` (P, q), and `times` (P,) the items with those counts."""

    counts: Floats
    times: Floats


def code_ratings(values: Any, categories: Sequence[Any] | None = None, columns: Sequence[str] | None = None) -> Ratings:
    """Code ratings: an array, nested lists or a data frame of numbers or labels; None, NaN and empty text are missing.

    `categories` declares all that could have been given, which matters to weights and to AC1, AC2 and Brennan-Prediger;
    without it they are those seen, labels in alphabetical order. `columns` names the raters for errors. Raises DataError
    with row (from 1) and rater for a rating outside the declared categories and an infinite one, and for numbers mixed
    with labels; SettingsError for categories that cannot be.
    """
    array = _as_array(values)
    small = _small_integers(array)
    seen, indices = _distinct(array, columns) if small is None else small
    known = tuple(sorted(v for v in seen if v is not None)) if categories is None else checked_categories(categories)
    if len(known) > MOST_CATEGORIES:
        raise SettingsError(
            f"{len(known):,} categories are more than {MOST_CATEGORIES:,}: these are measurements. Round them to fewer"
        )
    places = {category: place for place, category in enumerate(known)}
    missing, unknown = len(known), MOST_CATEGORIES + 1
    table = [missing if value is None else places.get(value, unknown) for value in seen]
    if table != list(range(len(table))):
        indices = np.array(table, dtype=np.uint16)[indices]
    if unknown in table:
        raise _outside(array, indices, known, columns)
    return Ratings(indices.reshape(array.shape), known, categories is not None)


def _small_integers(array: NDArray[Any]) -> tuple[list[Any], Codes] | None:
    """The distinct values of integers within a byte's range, in order, and each rating's place among them; else None."""
    if array.dtype.kind not in "iu" or not array.size:
        return None
    narrow = np.empty(array.shape, dtype=np.uint8)
    if array.dtype == np.int64 and array.flags.carray and _narrowed(array.ravel(), narrow.ravel()):
        array = narrow  # what follows reads an eighth
    lowest, highest = int(array.min()), int(array.max())
    if highest - lowest >= BYTE:
        return None
    offsets = array.astype(np.uint8) - np.uint8(lowest % BYTE)  # modulo 256, in which a smaller range is exact
    peeked = set(np.unique(offsets.ravel()[:PEEK]).tolist())
    seen = [k for k in range(highest - lowest + 1) if k in peeked or (offsets == k).any()]
    if len(seen) <= highest - lowest:
        table = np.zeros(BYTE, dtype=np.uint8)
        table[seen] = np.arange(len(seen))
        offsets = table[offsets]
    return [lowest + k for k in seen], offsets


@njit("boolean(int64[::1], uint8[::1])", cache=True)
def _narrowed(values, narrow):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Write `values` as bytes into `narrow`, in one pass over what may be megabytes; False where one is no byte."""
    bits = 0
    for place in range(len(values)):
        bits |= values[place]
        narrow[place] = values[place]
    return 0 <= bits < BYTE


def _distinct(array: NDArray[Any], columns: Sequence[str] | None) -> tuple[list[Any], Codes]:
    """The distinct values, None for those that are missing, and each rating's place among them."""
    encoded = _encoded(array, columns)
    values = encoded.dictionary.to_pylist()
    seen = [None if value == "" or (isinstance(value, float) and math.isnan(value)) else value for value in values]
    return [*seen, None], encoded.indices.fill_null(len(seen)).to_numpy(zero_copy_only=False)


def checked_categories(categories: Sequence[Any]) -> tuple[Category, ...]:
    """Declared categories: numbers in rising order, labels as they are declared. Raises SettingsError."""
    listed = [value.item() if isinstance(value, np.generic) else value for value in categories]
    are_numbers = all(isinstance(value, numbers.Real) and np.isfinite(float(value)) for value in listed)
    if not listed or not (are_numbers or all(isinstance(value, str) and value for value in listed)):
        raise SettingsError(f"categories must be all numbers or all labels, and not {listed}")
    if len(set(listed)) < len(listed):
        raise SettingsError(f"a category is declared twice: {listed}")
    return tuple(sorted(listed) if are_numbers else listed)


def count_patterns(codes: Codes, size: int) -> Patterns:
    """Count the items (rows of `codes`, (n, r)) by their pattern over `size` categories; those nobody rated are left out.

    A pattern's key is a number in base r + 1 whose digit k counts the raters who chose category k. Where that does not
    fit into 62 bits, every item is a pattern of its own, and memory is 8 n q bytes.
    """
    items, raters = codes.shape
    base = raters + 1
    if base**size > KEY_LIMIT:
        counts = _counts(codes, size)
        rated = counts.any(axis=1)
        return Patterns(counts[rated], np.ones(int(rated.sum())))
    powers = np.array([base**k for k in range(size)] + [0], dtype=np.uint64)
    most = min(items, math.comb(raters + size, size))  # patterns that there can be
    bits = (4 * most).bit_length()
    keys, times = np.zeros(1 << bits, dtype=np.uint64), np.zeros(1 << bits, dtype=np.int64)
    places, firsts = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    rows = np.ascontiguousarray(codes, dtype=np.uint8)
    distinct = _count_keys(rows, powers, np.uint64(64 - bits), keys, times, places, firsts)
    return Patterns(_counts(codes[firsts[:distinct]], size), times[places[:distinct]].astype(np.float64))


def _counts(codes: Codes, size: int) -> Floats:
    """How many raters chose each category, (n, q), from codes (n, r)."""
    items, raters = codes.shape
    cells = np.repeat(np.arange(items), raters) * (size + 1) + codes.ravel()
    counts = np.bincount(cells, minlength=items * (size + 1)).reshape(items, size + 1)
    return counts[:, :size].astype(np.float64)


@njit("int64(uint8[:, ::1], uint64[::1], uint64, uint64[::1], int64[::1], int64[::1], int64[::1])", cache=True)
def _count_keys(codes, powers, shift, keys, times, places, firsts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Count the items by key in a hash table. 0 is no key. The slots in use go to `places`, in order of appearance, and the
    first item of each to `firsts`; their number is returned. Unsigned numbers spare the loop a check of every index.
    """
    none, last, distinct = np.uint64(0), np.uint64(len(keys) - 1), 0
    for item in range(codes.shape[0]):
        key = none
        for rater in range(codes.shape[1]):
            key += powers[codes[item, rater]]
        if key == none:
            continue
        slot = key * SPREAD >> shift
        while keys[slot] != key:
            if keys[slot] == none:
                keys[slot] = key
                places[distinct], firsts[distinct] = slot, item
                distinct += 1
                break
            slot = (slot + np.uint64(1)) & last
        times[slot] += 1
    return distinct


def _as_array(values: Any) -> NDArray[Any]:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, np.ma.MaskedArray):
        objects = values.data.astype(object)
        objects[np.ma.getmaskarray(values)] = None
        return objects
    if isinstance(values, np.ndarray):
        return values.astype({"S": "U", "T": "O"}.get(values.dtype.kind, values.dtype), copy=False)
    rows = list(values)
    if len({len(row) if isinstance(row, Sequence) and not isinstance(row, str) else 0 for row in rows}) > 1:
        raise DataError("ratings", "its rows have different lengths", mend="Fill up with None")
    return np.array(rows, dtype=object)  # numpy would turn a NaN among labels into the label "nan"


def _encoded(array: NDArray[Any], columns: Sequence[str] | None) -> pa.DictionaryArray:
    """Numbers or text by their distinct values; Arrow does that in one pass."""
    flat = array.ravel()
    if flat.dtype.kind == "b":
        flat = flat.astype(np.int8)
    try:
        values = pa.array(flat, from_pandas=flat.dtype.kind == "O")  # a NaN among floats is one more value, and faster so
    except (pa.ArrowException, TypeError, OverflowError):
        mend = "Give numbers, or text for all"
        raise DataError("ratings", "there are numbers and labels, or something else, side by side", mend=mend) from None
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_null(values.type):
        values = values.cast(pa.float64())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_string(values.type)):
        raise DataError("ratings", f"ratings are numbers or text, and not {values.type}")
    encoded = values.dictionary_encode()
    if pa.types.is_floating(values.type) and any(np.isinf(value) for value in encoded.dictionary.to_pylist()):
        place = np.flatnonzero(np.isinf(flat.astype(np.float64)))[0]
        raise _at(array, int(place), columns, "it is infinite", "Leave it empty where there is no rating")
    return encoded


def _outside(array: NDArray[Any], codes: Codes, known: tuple[Category, ...], columns: Sequence[str] | None) -> DataError:
    place = int(np.flatnonzero(codes.ravel() > MOST_CATEGORIES)[0])
    value = array.ravel()[place]
    is_text, mend = isinstance(value, str), None
    if is_text != isinstance(known[0], str):
        kinds = ("numbers", "text") if is_text else ("text", "a number")
        mend = f"The declared categories are {kinds[0]}, and this is {kinds[1]}"
    problem = f"{_shown(value)} is not one of the declared categories {', '.join(map(_shown, known))}"
    return _at(array, place, columns, problem, mend)


def _at(array: NDArray[Any], place: int, columns: Sequence[str] | None, problem: str, mend: str | None) -> DataError:
    row, *column = (int(index) for index in np.unravel_index(place, array.shape))
    rater = None if not column else columns[column[0]] if columns else f"rater {column[0] + 1}"
    return DataError("ratings", problem, line=row + 1, field=rater, mend=mend)


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
