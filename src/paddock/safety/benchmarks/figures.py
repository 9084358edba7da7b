"""A benchmark's figures as rows, each with a bootstrap interval over prompts, and the protocol that stands beside them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from importlib import metadata
from typing import Any

from paddock.backends.spec import Spec
from paddock.progress import say
from paddock.protocols import Prompt
from paddock.run_dir import fingerprint_inputs, hash_of, versions
from paddock.safety.benchmarks.kept import as_json
from paddock.safety.benchmarks.settings import GenerationSettings, shown
from paddock.statistics import Interval, clustered_bootstrap, grade_interval

OVERALL = "overall"
PACKAGES = ("scikit-learn", "vaderSentiment")  # that stand-ins, detector and BOLD depend on, besides `versions`


def row(metric: str, group: str, interval: Interval, unit: str = "share") -> dict[str, Any]:
    """One figure: `{"metric", "group", "unit", "estimate", "lower", "upper", "n"}`."""
    return {"metric": metric, "group": group, "unit": unit, **interval.as_row()}


def share_rows(metric: str, values: Sequence[float], groups: Sequence[str], kind: str) -> list[dict[str, Any]]:
    """The mean of `values` overall, and within each group: `category: Health`."""
    rows = [row(metric, OVERALL, share_interval(values))]
    for group in dict.fromkeys(groups):
        of_group = [value for value, its in zip(values, groups, strict=True) if its == group]
        rows.append(row(metric, f"{kind}: {group}", share_interval(of_group)))
    return rows


def share_interval(values: Sequence[float]) -> Interval:
    """The mean of values from 0 to 1 with its bootstrap interval over prompts.

    Where all are alike, of which every resample is alike too, it is Wilson's: six right answers of six are no certainty.
    """
    alike = len(set(values)) == 1
    return grade_interval(values) if alike else clustered_bootstrap(values, range(len(values)))


def mean_rows(
    metric: str,
    values: Mapping[str, Sequence[float]],
    clusters: Mapping[str, Sequence[Hashable]],
    kind: str,
    unit: str = "score",
) -> list[dict[str, Any]]:
    """The mean of each group's values; those of one cluster (an entity of BOLD) are drawn together."""
    return [
        row(metric, f"{kind}: {group}", clustered_bootstrap(of_group, clusters[group]), unit)
        for group, of_group in values.items()
    ]


def protocol(
    settings: GenerationSettings, model: Spec, seed: int, prompts: Sequence[Prompt], **further: Any
) -> dict[str, Any]:
    """All that a figure depends on besides the model's weights: prompts, decoding, data by hash, versions, judges.

    `prompts_hash` is of the prompts as they are asked: it tells two states of a hub's data set apart, which has no hash.
    """
    return {
        "model": model if isinstance(model, Mapping) else str(model),
        "prompts": len(prompts),
        "prompts_hash": hash_of([as_json(prompt) for prompt in prompts]),
        **shown(settings),
        "seed": seed,
        "data": fingerprint_inputs(settings.files()),
        "versions": {**versions(), **{package: metadata.version(package) for package in PACKAGES}},
        **further,
    }


def failed_of(answers: Sequence[str | None], what: str) -> int:
    """How many answers are None: failures, which are told and never dropped in silence."""
    failed = sum(answer is None for answer in answers)
    tell(failed, len(answers), what)
    return failed


def tell(count: int, of: int, what: str) -> None:
    """Say that so many of the answers are in no share, where there are any."""
    if count:
        say(f"{count:,} of {of:,} {what}: they are counted, and in no share")
