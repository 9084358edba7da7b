"""The spine: the stages of the run, how each stands, what it read and made."""

from __future__ import annotations

from paddock.progress import duration
from paddock.report.blocks import Fact, Section, Spine, SpineItem
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import finite, number, size, words

FIGURES_SHOWN = 12


def section(run: Run) -> Section:
    """Every stage of the run, in order, those that have not started among them."""
    items = tuple(_item(stage) for stage in run.stages)
    return Section("stages", "Stages", (Spine(items),))


def seconds_of(stage: StageRecord) -> float | None:
    """How long a stage worked: as its results say, or as far as its metrics came; None where neither tells."""
    logged = [seconds for row in stage.metrics if (seconds := finite(row.get("seconds"))) is not None]
    known = finite(stage.results.get("seconds"))
    return known if known is not None else max(logged, default=None)


def _item(stage: StageRecord) -> SpineItem:
    seconds = seconds_of(stage)
    made = [f"{name} {size(count)}" for name, count in stage.made.items()]
    if stage.sample_count:
        made.append(f"samples.jsonl {stage.sample_count:,} rows")
    return SpineItem(
        name=stage.name,
        about=stage.kind if stage.kind != stage.name else "",
        state=stage.state,
        duration="" if seconds is None else duration(seconds),
        read=tuple(place_in_run(path) for path in stage.inputs),
        made=tuple(made),
        figures=_figures(stage),
    )


def _figures(stage: StageRecord) -> tuple[Fact, ...]:
    """The stage's single figures; of an unfinished stage, the last that it logged."""
    source = stage.results or (stage.metrics[-1] if stage.metrics else {})
    numbers = [(name, value) for name, value in source.items() if finite(value) is not None and name != "seconds"]
    return tuple(Fact(words(name), number(value)) for name, value in numbers[:FIGURES_SHOWN])


def place_in_run(path: str) -> str:
    """An input's path as a reader wants it: `tokenizer/model` for `${run}/tokenizer/model`."""
    return path.removeprefix("${run}/")
