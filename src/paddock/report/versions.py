"""Versions by rejection sampling: what was selected, what it is worth to the rewards, and the gain from more samples.

Figures 7 and 8 of the paper, of this run. A stage `rejection` by itself is a version of its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from paddock.report.blocks import Figure, Figures, Prose, Row, Section, Table
from paddock.report.drawings import Line, line_figure
from paddock.report.rewards import score_of
from paddock.report.run_folder import Run
from paddock.report.wording import UNKNOWN, finite, interval_cell, number, percent, signed
from paddock.text.dialog import DOMAINS

LINES = 4  # of the temperatures' drawing: numbers of replies from 1 to K
Version = Mapping[str, dict[str, Any]]  # the results of its parts by their names


def section(run: Run) -> Section | None:
    """Every version of the run; None where there is none."""
    versions = {name: parts for name, parts in _versions(run) if parts.get("rejection")}
    if not versions:
        return None
    note = Prose(
        "Rewards are on the scale of the sigmoid, from 0 to 1; each version's are those of the reward models of its time. "
        "Below a figure stands its 95% interval over prompts."
    )
    figures = tuple(
        figure
        for place, (name, parts) in enumerate(versions.items())
        for figure in _drawings(name, parts["rejection"], place)
    )
    tables = (_selection(versions), _replies(versions), *_agreement(versions), *_judgement(versions))
    return Section("versions", "Versions", (note, *tables, Figures(figures)) if figures else (note, *tables))


def _versions(run: Run) -> Iterator[tuple[str, Version]]:
    several = sum(stage.kind == "rlhf" for stage in run.stages) > 1
    for stage in run.stages:
        if stage.kind == "rejection":
            yield stage.name, {"rejection": stage.results}
        for group in dict.fromkeys(part.group for part in stage.parts):
            name = group.upper() if not several else f"{stage.name} {group.upper()}"
            yield name, {part.name: part.results for part in stage.parts if part.group == group}


def _selection(versions: Mapping[str, Version]) -> Table:
    """What each version learnt from, and whose replies those were."""
    chosen = {name: parts["rejection"] for name, parts in versions.items()}
    sources = sorted({source for found in chosen.values() for source in found.get("selected_by_version", {})}, key=int)
    rows = [
        Row(
            (
                name,
                number(found.get("temperature")),
                number(found.get("selected")),
                interval_cell(found.get("selected_reward"), "{:.3f}".format),
                *(number(found.get("selected_by_version", {}).get(source)) for source in sources),
            )
        )
        for name, found in chosen.items()
    ]
    columns = ("", "temperature", "selected", "their reward", *(f"of V{source}" for source in sources))
    caption = "The replies that each version learnt from, and how many of them each version wrote."
    return Table(columns, tuple(rows), caption)


def _replies(versions: Mapping[str, Version]) -> Table:
    """What was wrong with the replies that were sampled, and with the best of them."""
    counts = ("prompts", "prompts_without_a_reply", "unusable", "best_unsafe", "best_cut_short")
    rows = []
    for name, parts in versions.items():
        found = parts["rejection"]
        cells = (number(found.get(key)) for key in counts)
        rows.append(Row((name, *cells, _share(found.get("cut_short_share")))))
    columns = ("", "prompts", "without a reply", "unusable", "best unsafe", "best cut short", "cut short of all")
    caption = (
        "Unusable replies, of all that were sampled, are empty or hold a tag of the chat format. The best reply to "
        "a prompt is unsafe where the safety model gives it less than 0.15, and cut short where its limit ended it."
    )
    return Table(columns, tuple(rows), caption)


def _agreement(versions: Mapping[str, Version]) -> Iterator[Table]:
    """Figure 32, in shares: where a version has two reward models."""
    found = {name: parts["rejection"].get("agreement") for name, parts in versions.items()}
    rows = tuple(
        Row(
            (
                name,
                number(agreement.get("rank_correlation")),
                *(_share(agreement.get(key)) for key in ("safe_not_helpful", "helpful_not_safe")),
            )
        )
        for name, agreement in found.items()
        if agreement
    )
    if rows:
        columns = ("", "rank correlation", "safe, not helpful", "helpful, not safe")
        caption = (
            "How the two reward models agree on all usable replies (figure 32): Spearman's rank correlation, and the shares "
            "that one scores above its mean and the other below."
        )
        yield Table(columns, rows, caption)


def _share(value: Any) -> str:
    share = finite(value)
    return UNKNOWN if share is None else percent(share)


def _judgement(versions: Mapping[str, Version]) -> Iterator[Table]:
    """How the reward models of a version do, and what they say of it, where it has some."""
    rows = tuple(Row((name, *_judged(parts))) for name, parts in versions.items() if "check" in parts)
    if rows:
        columns = [f"{figure}, {domain}" for figure in ("accuracy", "change of reward") for domain in DOMAINS]
        caption = (
            "Accuracy is that of the reward models trained after the version, on held-out pairs. The change is that of the "
            "mean reward from the version before, on the same held-out prompts, under those models; worse: with a "
            "permutation p below 0.05."
        )
        yield Table(("", *columns), rows, caption)


def _judged(parts: Version) -> Iterator[str]:
    for domain in DOMAINS:
        yield interval_cell(score_of(parts.get(f"reward-{domain}", {}), "reward_accuracy"))
    for domain in DOMAINS:
        figures = parts["check"].get("domains", {}).get(domain, {})
        yield ("worse " if figures.get("regressed") else "") + interval_cell(figures.get("difference"), signed)


def _drawings(name: str, rejection: Mapping[str, Any], place: int) -> Iterator[Figure]:
    """The best and the median of N, and the best by temperature."""
    temperature = number(rejection.get("temperature"))
    if curve := rejection.get("curve"):
        lines = [
            _line(label, [(point["replies"], point[key]) for point in curve])
            for key, label in (("max", "best of N"), ("median", "median"))
        ]
        drawing = line_figure(f"replies{place}", lines, "N, replies to a prompt", "mean reward")
        caption = f"Mean over prompts, at temperature {temperature} (figure 7)."
        yield Figure(drawing, f"{name} · by number of replies", caption, f"Best and median reward of {name} by replies.")
    if sweep := rejection.get("sweep"):
        drawing = line_figure(f"temperatures{place}", _by_temperature(sweep), "temperature", "mean best reward")
        caption = f"Best of N replies, on the prompts of the sweep; {temperature} was taken (figure 8)."
        yield Figure(drawing, f"{name} · by temperature", caption, f"Best reward of N replies of {name} by temperature.")


def _by_temperature(sweep: Sequence[dict[str, Any]]) -> list[Line]:
    """A line each for K replies and for some numbers below, evenly spread by their logarithm; K alone has its intervals."""
    most = max(point["replies"] for point in sweep)
    counts = sorted({round(most ** (step / (LINES - 1))) for step in range(LINES)}, reverse=True)
    points = sorted(sweep, key=lambda point: point["temperature"])
    best, *others = (
        _line(f"N = {count}", [(point["temperature"], point["max"]) for point in points if point["replies"] == count])
        for count in counts
    )
    return [best, *(replace(line, bounds=()) for line in others)]


def _line(label: str, points: list[tuple[float, dict[str, Any]]]) -> Line:
    """Estimates with their intervals, which are left out where one is not known."""
    bounds = [(row["lower"], row["upper"]) for _, row in points]
    known = all(None not in pair for pair in bounds)
    estimates = [row["estimate"] for _, row in points]
    return Line(label, [x for x, _ in points], estimates, bounds if known else (), dots=True)
