"""Human studies with simulated annotators: what the raters said, beside what their noise implies and beside the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paddock.report.blocks import Prose, Row, Section, Table
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, interval_cell, percent

PUBLISHED = "0.37 to 0.55"  # section 3.4.2: AC2 on the seven-point task, weights not given
OUTCOMES = ("win", "tie", "loss")


def section(run: Run) -> Section | None:
    """Two tables a study; None where there is none."""
    studies = [stage for stage in run.stages if stage.kind == "study" and stage.results.get("shares")]
    blocks = [block for stage in studies for block in _blocks(stage)]
    return Section("human-study", "Human study, with simulated annotators", tuple(blocks)) if blocks else None


def _blocks(stage: StageRecord) -> Iterator[Prose | Table]:
    results = stage.results
    first, second = results["names"]
    noise = ", ".join(f"{value:g}" for value in results["noise"].values())
    raters, pairs = results["raters"], results["pairs"]
    yield Prose(
        f"{stage.name}: {raters} annotators of the miniature world compared {pairs} pairs of replies, of {first} and "
        f"{second}, on the seven-point scale, through the studio's pages over HTTP. They see how much "
        f"better a reply truly is with a logistic error of scale {noise}; a reply is worth −1 to 1."
    )
    shares = tuple(
        Row((f"{first}: {name}", interval_cell(row), _percent(row.get("implied")), _percent(row.get("truth"))))
        for name, row in ((name, results["shares"][name]) for name in OUTCOMES)
    )
    caption = (
        "By the majority of the raters of a pair, with 95% intervals over prompts. Implied: what raters of this noise would "
        "say on average; replies of one worth then do not always tie. Truth: which reply is worth more."
    )
    yield Table(("", "measured", "implied by the noise", "truth"), shares, caption)
    rows = [
        Row((f"AC2, {row['weights']} weights", interval_cell(_estimate(row), _decimal), _decimal(row["implied"])))
        for row in results["agreement"]
    ]
    rows.append(Row(("Llama 2, people, weights not given", PUBLISHED, UNKNOWN), published=True))
    caption = (
        f"Agreement of the raters on {pairs} pairs, with 95% intervals, and what their noise implies for these "
        "pairs. The row in italics is the paper's (section 3.4.2)."
    )
    yield Table(("", "measured", "implied by the noise"), tuple(rows), caption)


def _estimate(row: dict[str, Any]) -> dict[str, Any]:
    return {"estimate": row["value"], "lower": row["lower"], "upper": row["upper"]}


def _percent(share: Any) -> str:
    value = finite(share)
    return UNKNOWN if value is None else percent(value)


def _decimal(value: float) -> str:
    return f"{value:.3f}"
