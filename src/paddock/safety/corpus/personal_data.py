"""Hints at personal data: how many documents hold what looks like an address or a number. Counts only; nothing is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from paddock.statistics import wilson_interval

EMAIL: Final = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.ASCII)
TELEPHONE: Final = re.compile(
    r"(?<![\w.,/+-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)[ .-]?|\d{3}[ .-])\d{3,4}[ .-]?\d{4}(?![\w/-]|\.\d)", re.ASCII
)
IP_ADDRESS: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", re.ASCII)
CARD_NUMBER: Final = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\w.-])", re.ASCII)
KINDS: Final = ("email address", "telephone number", "IP address", "payment card number")


def count(texts: Sequence[str], has_number: NDArray[np.bool_]) -> Counter[str]:
    """Documents and matches by kind. Numbers are looked for where `has_number`, a mask of shape (documents,), says so."""
    counts: Counter[str] = Counter()
    for text, numbers in zip(texts, has_number.tolist(), strict=True):
        for kind, found in _matches(text, numbers):
            counts[f"personal/{kind}/documents"] += found > 0
            counts[f"personal/{kind}/matches"] += found
    return counts


def _matches(text: str, numbers: bool) -> list[tuple[str, int]]:
    emails = len(EMAIL.findall(text)) if "@" in text else 0
    if not numbers:
        return [(KINDS[0], emails)] if emails else []
    addresses = sum(all(int(part) < 256 for part in found.split(".")) for found in IP_ADDRESS.findall(text))
    cards = sum(is_card_number(found) for found in CARD_NUMBER.findall(text))
    return list(zip(KINDS, (emails, len(TELEPHONE.findall(text)), addresses, cards), strict=True))


def is_card_number(digits: str) -> bool:
    """Whether 13 to 19 digits, spaces and hyphens aside, pass the check sum of Luhn (ISO/IEC 7812-1)."""
    numbers = [int(digit) for digit in digits if digit.isdigit()]
    doubled = [2 * number - 9 * (number > 4) for number in numbers[-2::-2]]
    return 13 <= len(numbers) <= 19 and (sum(doubled) + sum(numbers[-1::-2])) % 10 == 0


def table(counts: Counter[str]) -> dict[str, Any]:
    """By kind: the documents that hold one, and all matches."""
    total = counts["documents"]
    return {
        "documents": total,
        "kinds": {
            kind: {
                "documents": counts[f"personal/{kind}/documents"],
                "matches": counts[f"personal/{kind}/matches"],
                "of_all": wilson_interval(counts[f"personal/{kind}/documents"], total).as_row(),
            }
            for kind in KINDS
        },
    }
