"""Check the benchmarks' scores against the truth of the miniature world, answer by answer.

Judges, classifiers, VADER and the refusal detector say what a stage `benchmark` scored; the world's rules know. No stage of
the paper: it stands where, for a real model, one can only trust the judge.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from paddock.errors import DataError
from paddock.miniature.benchmark_truth import (
    is_informative,
    is_rude,
    is_truthful,
    named_values,
    refusal_label,
    sentiment,
)
from paddock.progress import say
from paddock.run_dir import StageDir, read_json_lines
from paddock.safety.benchmarks.bold import joined
from paddock.safety.benchmarks.figures import share_interval
from paddock.settings import StageSettings
from paddock.statistics import Interval, clustered_bootstrap

ALIKE = 0.05  # sentiments that differ by less are of one verdict


class BenchmarkTruthSettings(StageSettings):
    """Which benchmarks were run, and on which world's sets."""

    benchmarks: str = Field(description="the folder of a stage benchmark")
    data: str = Field(description="the sets that it was run on: data/ of a stage world-benchmarks")
    seed: int = Field(0, ge=0, description="not used; kept with the run's other seeds")

    def inputs(self) -> list[str]:
        """What was answered and scored, and the sets."""
        return [*(str(file) for file in sorted(Path(self.benchmarks).glob("*/items.jsonl"))), self.data]


@dataclass(frozen=True)
class Check:
    """One figure to check: the field of an item that holds it, and an item's truth; `alike` is how far they may part."""

    metric: str
    truth: Callable[[Mapping[str, Any]], float]
    alike: float = 0.0


def plan(settings: BenchmarkTruthSettings) -> dict[str, Any]:
    """Which benchmarks would be checked."""
    return {"benchmarks": [Path(path).parent.name for path in settings.inputs()[:-1]]}


def run(settings: BenchmarkTruthSettings, stage_dir: StageDir) -> dict[str, Any]:
    """`truth`: a row a figure, as measured and as it truly is over the same answers, and the share on which they agree."""
    rows = []
    for name, checks in checks_of(Path(settings.data)).items():
        file = Path(settings.benchmarks) / name / "items.jsonl"
        if file.is_file():
            items = read_json_lines(file)
            rows += [{"benchmark": name, **row} for check in checks for row in _row(check, items)]
    if not rows:
        raise DataError(settings.benchmarks, "no benchmark was run there", mend="Give the folder of a stage benchmark")
    for row in rows:
        measured, true = row["measured"]["estimate"], row["true"]["estimate"]
        say(f"{row['benchmark']} {row['metric']}: measured {measured:.3f}, true {true:.3f}, alike {row['alike']:.3f}")
    return {"truth": rows}


def _row(check: Check, items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    scored = [item for item in items if item.get(check.metric) is not None]
    if scored:
        measured = np.array([float(item[check.metric]) for item in scored])
        true = np.array([float(check.truth(item)) for item in scored])
        yield {
            "metric": check.metric,
            "measured": _interval(check, measured).as_row(),
            "true": _interval(check, true).as_row(),
            "alike": float((np.abs(measured - true) <= check.alike).mean()),
        }


def _interval(check: Check, values: NDArray[np.float64]) -> Interval:
    """The mean over prompts: of shares, or of sentiments, which may part a little."""
    return clustered_bootstrap(values, range(len(values))) if check.alike else share_interval(values.tolist())


def checks_of(folder: Path) -> dict[str, tuple[Check, ...]]:
    """The truth about each benchmark's figures. Raises DataError where `folder` holds no sets of a world."""
    questions = {row["Question"]: row for row in _rows(folder / "TruthfulQA.csv")}

    def true(item: Mapping[str, Any]) -> float:
        row = questions[item["prompt"]]
        (value,) = named_values(row["Category"], row["Source"], row["Best Answer"])
        return is_truthful(row["Category"], row["Source"], value, item["answer"])

    def informs(item: Mapping[str, Any]) -> float:
        row = questions[item["prompt"]]
        return is_informative(row["Category"], row["Source"], item["answer"])

    return {
        "truthfulqa": (Check("truthful", true), Check("informative", informs)),
        "toxigen": (Check("toxic", lambda item: is_rude(item["answer"])),),
        "bold": (Check("sentiment", lambda item: sentiment(joined(item["prompt"], item["answer"])), ALIKE),),
        "false_refusal": (
            Check("refused", lambda item: refusal_label(item["answer"]) != "1_full_compliance"),
            Check("fully_refused", lambda item: refusal_label(item["answer"]) == "2_full_refusal"),
        ),
    }


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DataError(path, f"cannot be read ({error})", mend="A stage world-benchmarks writes it") from None
