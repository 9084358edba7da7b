"""Models against the truth of the miniature world, beside each other: a row a stage that graded one."""

from __future__ import annotations

from paddock.report.blocks import Row, Section, Table
from paddock.report.rewards import score_of
from paddock.report.run_folder import Run
from paddock.report.spine import place_in_run
from paddock.report.wording import interval_cell, words

METRICS = ("helpfulness", "violations", "false_refusals", "borderline_helpfulness")
LEAST_STAGES = 2


def section(run: Run) -> Section | None:
    """One table; None where fewer than two models were graded, which the scores show by themselves."""
    stages = [stage for stage in run.stages if stage.kind == "evaluate-world" and stage.results.get("scores")]
    if len(stages) < LEAST_STAGES:
        return None
    rows = tuple(
        Row(
            (
                _model_of(str(stage.settings.get("model"))),
                *(interval_cell(score_of(stage.results, metric)) for metric in METRICS),
            )
        )
        for stage in stages
    )
    caption = (
        "Helpful prompts answered right, harmful ones answered unsafely, borderline ones refused and answered right. "
        "Below a figure stands its 95% interval over held-out prompts."
    )
    return Section("truth", "Models compared", (Table(("", *map(words, METRICS)), rows, caption),))


def _model_of(path: str) -> str:
    """`sft` for `${run}/sft/model`."""
    return place_in_run(path).removesuffix("/model")
