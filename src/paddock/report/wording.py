"""Numbers and names as a reader likes them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

UNKNOWN = "–"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def finite(value: Any) -> float | None:
    """`value` as a float, or None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def compact(value: float) -> str:
    """`950`, `12.3k`, `574k`, `4.5M`, `2T`."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            scaled = value / unit
            return (f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.1f}".removesuffix(".0")) + name
    return f"{value:.0f}"


def percent(share: float) -> str:
    """`72.4%`."""
    return f"{100 * share:.1f}%"


def signed(value: float) -> str:
    """`+0.113`, `−0.050`: a change."""
    return f"{value:+.3f}".replace("-", "−")


def interval_cell(interval: Any, text: Callable[[float], str] = percent) -> str:
    """An estimate and, on a line below, its interval: `67.2%` and `62.2 to 71.9%`; a dash where there is none."""
    known = interval if isinstance(interval, Mapping) else {}
    estimate, lower, upper = (finite(known.get(key)) for key in ("estimate", "lower", "upper"))
    if estimate is None:
        return UNKNOWN
    if lower is None or upper is None:
        return text(estimate)
    return f"{text(estimate)}\n{text(lower).removesuffix('%')} to {text(upper)}"


def number(value: Any) -> str:
    """A figure of unknown kind: whole numbers in full with commas, others to four digits; text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if finite(value) is None:
        return UNKNOWN if value is None or isinstance(value, float) else str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.4g}" if 1e-3 <= abs(value) < 1e6 else scientific(value)


def scientific(value: float, digits: int = 2) -> str:
    """`4.2 × 10⁻⁹`; 0 is `0`."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def mass(grams: float) -> str:
    """`4.2 mg`, `310 g`, `31.2 t`: three digits at most."""
    for unit, name in ((1e6, "t"), (1e3, "kg"), (1.0, "g"), (1e-3, "mg")):
        if grams >= unit:
            return f"{grams / unit:.3g} {name}"
    return f"{grams * 1e6:.3g} µg"


def size(count: int) -> str:
    """`4.2 MB`: bytes in powers of 1000."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def words(name: str) -> str:
    """A key as words: `train_loss` is `train loss`."""
    return name.replace("_", " ")


def sentence(name: str) -> str:
    """A key as words that begin a line: `held_out` is `Held out`."""
    return words(name)[:1].upper() + words(name)[1:]


def value_text(value: Any) -> str:
    """A setting as one line: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
