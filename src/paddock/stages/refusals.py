"""Who tells a refusal, as the stages of safety tuning need it, and the share of replies that refuse (paper 4.2.3).

The paper trains a classifier for it, and does not say how. Whoever runs a stage says who tells: see `catalog.find_refusals`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from paddock.statistics import wilson_interval
from paddock.text.dialog import Dialog

Refuses = Callable[[Sequence[Dialog]], list[bool | None]]
"""For each dialog, whether its last reply declines to answer; None: undecided."""

NOBODY, MINIATURE = "nobody", "miniature"
TELLERS = (
    "who tells refusals: nobody; miniature: that world's own rule; or the CSV file or folder of labelled replies (XSTest's "
    "model_completions) that a detector learns from"
)
"""What the setting `refusals` may be."""


def tellers_to_read(who: str) -> tuple[str, ...]:
    """The files that the setting `refusals` names."""
    return () if who in (NOBODY, MINIATURE) else (who,)


def refusal_share(verdicts: Sequence[bool | None]) -> dict[str, Any]:
    """The share of decided replies that refuse, with its interval, and how many are undecided."""
    decided = [verdict for verdict in verdicts if verdict is not None]
    return {**wilson_interval(sum(decided), len(decided)).as_row(), "undecided": len(verdicts) - len(decided)}
