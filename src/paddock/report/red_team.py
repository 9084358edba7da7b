"""Red teaming: violating prompts by person and hour of each version, violations by group, agreement, and reruns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paddock.report.blocks import Figure, Figures, Prose, Row, Section, Table
from paddock.report.drawings import Line
from paddock.report.run_folder import Run, StageRecord
from paddock.report.safety_drawings import versions_figure
from paddock.report.wording import UNKNOWN, interval_cell, number, sentence, words

PUBLISHED_GAMMA = "from 1.8 to 0.45"  # section 4.3: the 7B model, over several rounds
PUBLISHED_REJECTION = "90%"
PUBLISHED_AC2 = "0.92"  # section 4.4
COUNTED = {
    "violating_prompts": "violating prompts",
    "person_hours": "person-hours",
    "people": "people",
    "attempts": "attempts",
    "undecided": "undecided",
    "unrated": "unrated",
}


def section(run: Run) -> Section | None:
    """Every log of the run; None where there is none."""
    stages = [stage for stage in run.stages if stage.kind == "red-team" and stage.results.get("versions")]
    blocks = [block for place, stage in enumerate(stages) for block in _blocks(stage, f"red-team{place}")]
    return Section("red-team", "Red teaming", tuple(blocks)) if blocks else None


def _blocks(stage: StageRecord, name: str) -> Iterator[Table | Prose | Figures]:
    versions: list[dict[str, Any]] = stage.results["versions"]
    yield _by_version(stage.name, stage.results)
    yield _by_group(stage.name, versions)
    if rerun := stage.results.get("rerun"):
        yield _rerun(stage.name, rerun)
    if exported := stage.results.get("exported"):
        yield Prose(f"{stage.name} exported {_exported(exported)}.")
    if any(row["gamma"]["lower"] is not None for row in versions):
        points = [(row["model"], row["gamma"]) for row in versions if row["gamma"]["lower"] is not None]
        bounds = [(gamma["lower"], gamma["upper"]) for _, gamma in points]
        line = Line("gamma", list(range(len(points))), [gamma["estimate"] for _, gamma in points], bounds)
        caption = f"Violating prompts per person and hour. {_about_gamma(versions)} Less is better."
        drawing = versions_figure(f"{name}-gamma", line, [model for model, _ in points], "per person and hour")
        yield Figures((Figure(drawing, f"Robustness · {stage.name}", caption, caption),))


def _exported(exported: Mapping[str, int]) -> str:
    """What is there to learn from, and how much of it."""
    counts = ", ".join(f"{exported[key]:,} {key}" for key in ("prompts", "preferences", "demonstrations"))
    unpaired = exported.get("unpaired")  # an older Paddock did not count them
    return f"{counts}; {unpaired:,} violating replies stand in no pair" if unpaired else counts


def _by_version(name: str, results: Mapping[str, Any]) -> Table:
    versions: list[dict[str, Any]] = results["versions"]
    agreement = {row["group"]: row for row in results.get("agreement", [])}
    rows = [
        Row(
            (
                row["model"],
                interval_cell(row["gamma"], lambda value: f"{value:.2f}"),
                *(number(row[key]) for key in COUNTED),
                *_hits(row["hits"]),
                _ac2(agreement.get(f"model: {row['model']}")),
            )
        )
        for row in versions
    ]
    rows.append(Row(("Llama 2-Chat 7B", PUBLISHED_GAMMA, *[UNKNOWN] * (len(COUNTED) + 3)), published=True))
    caption = (
        f"{name}: gamma is the number of prompts that drew a violation, per person and hour. {_about_gamma(versions)} Hit "
        "in 1 and in 10: sessions that drew one within so many decided attempts. In italics the paper's, over several "
        f"rounds; its raters agreed with an AC2 of {PUBLISHED_AC2} on average where they judged the safety of all sizes of "
        "Llama 2-Chat, which was no red teaming."
    )
    return Table(("version", "gamma", *COUNTED.values(), "hit in 1", "hit in 10", "AC2"), tuple(rows), caption)


def _about_gamma(versions: list[dict[str, Any]]) -> str:
    """What its intervals are, and where votes are missing."""
    counts = [row["model"] for row in versions if row["gamma"].get("interval") == "Poisson"]
    drawn = f"; for {', '.join(counts)}, where people found alike or there is one, Poisson's of a count" if counts else ""
    lacking = [f"{row['unrated']:,} of {row['attempts']:,} attempts of {row['model']}" for row in versions if row["unrated"]]
    unrated = f" Nobody voted on {', '.join(lacking)}: gamma may be too low there." if lacking else ""
    return f"Intervals are a bootstrap over people{drawn}.{unrated}"


def _hits(hits: list[dict[str, Any]]) -> tuple[str, str]:
    by_k = {row["k"]: row for row in hits}
    return interval_cell(by_k.get(1)), interval_cell(by_k.get(10))


def _ac2(row: dict[str, Any] | None) -> str:
    found = next((one for one in row["coefficients"] if one["coefficient"] == "ac2"), None) if row else None
    value = {"estimate": found["value"], "lower": found["lower"], "upper": found["upper"]} if found else None
    return interval_cell(value, lambda number: f"{number:.2f}")


def _by_group(name: str, versions: list[dict[str, Any]]) -> Table:
    found = {(row["model"], group["group"]): group for row in versions for group in row["groups"]}
    groups = list(dict.fromkeys(group for _, group in found))
    models = [row["model"] for row in versions]
    rows = tuple(
        Row(
            (
                sentence(group),
                *(interval_cell(found.get((model, group), {}).get("violations")) for model in models),
                *(
                    interval_cell(found.get((model, group), {}).get("rating"), lambda value: f"{value:.2f}")
                    for model in models
                ),
            )
        )
        for group in groups
    )
    columns = ("group", *(f"violations, {model}" for model in models), *(f"rating, {model}" for model in models))
    caption = (
        f"{name}: attempts that most raters called violating (1 or 2), and mean ratings from 1 to 5, by group. Intervals "
        "are a bootstrap over people; where people are alike, or there is one, Wilson's, as if attempts were independent."
    )
    return Table(columns, rows, caption)


def _rerun(name: str, rerun: dict[str, Any]) -> Table:
    rows = [Row((words(row["group"]), interval_cell(row), number(row["n"]))) for row in rerun["rejection_rate"]]
    rows.append(Row(("the paper, model over model", PUBLISHED_REJECTION, UNKNOWN), published=True))
    caption = (
        f"{name}: prompts that drew a violation before, sent to {rerun['model']}: the share that draws none any more. "
        f"{rerun['undecided_prompts']:,} prompts are undecided."
    )
    return Table(("drew a violation from", "rejection rate", "prompts"), tuple(rows), caption)
