"""Reward progress by version on both axes (Figure 11), and rewards beside people's ratings (Figure 29)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paddock.report.blocks import Block, Figure, Figures, Prose, Row, Section, Table
from paddock.report.comparison_drawings import Place, path_figure
from paddock.report.drawings import Line, line_figure
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import finite, interval_cell, number, signed
from paddock.text.dialog import DOMAINS

NAMES = {"own": "rewards that they learnt from", "neutral": "neutral rewards"}
PUBLISHED = (  # Figure 11, read off the drawing: helpfulness and safety by the paper's own rewards, then by GPT-4
    ("SFT-v1", "39%", "22%", "13%", "10%"),
    ("RLHF-v1", "61%", "48%", "42%", "43%"),
    ("RLHF-v3", "65%", "54%", "48%", "38%"),
    ("RLHF-v5, with PPO", "78%", "76%", "67%", "61%"),
)


def section(run: Run) -> Section | None:
    """Every stage `reward-curve` and `reward-human` of the run; None where there is neither."""
    blocks: list[Block] = []
    for place, stage in enumerate(run.stages):
        if stage.kind == "reward-curve" and stage.results.get("curve"):
            blocks += _progress(stage, f"progress{place}")
        if stage.kind == "reward-human" and stage.results.get("correlations"):
            blocks += _beside_people(stage, f"human{place}")
    return Section("reward-progress", "Reward progress", tuple(blocks)) if blocks else None


def _progress(stage: StageRecord, name: str) -> Iterator[Block]:
    rates = {(row["judge"], row["version"], row["axis"]): row["win_rate"] for row in stage.results["curve"]}
    judges, versions = (list(dict.fromkeys(key[place] for key in rates)) for place in (0, 1))
    text = (
        f"{stage.name}: win rates against one opponent on {number(stage.results.get('prompts'))} held-out prompts, by "
        "reward models; equal rewards count half. "
    )
    if "neutral" in judges:
        text += "Neutral reward models were trained on other data: where the others rise and they fall, the two diverge. "
        text += "They do here." if stage.results.get("diverges") else "They do not here."
    yield Prose(text)
    yield _table(rates, judges, versions)
    if drawn := [row for rows in stage.results.get("divergence", {}).items() for row in _changes(*rows)]:
        caption = (
            "What each version gained on the one before, in points of the win rate, on the same prompts, and how far its "
            "own rewards stand above the neutral ones. p: that of a permutation test of the neutral change."
        )
        yield Table(("", "own change", "neutral change", "p", "gap", "diverges"), tuple(drawn), caption)
    paths = {NAMES.get(judge, judge): places for judge in judges if (places := _places(rates, judge, versions))}
    if paths:
        caption = "Win rates on both axes, version by version (figure 11); lines are 95% intervals."
        drawing = path_figure(name, paths, "helpfulness, win rate", "safety, win rate")
        yield Figures((Figure(drawing, f"Progress · {stage.name}", caption, f"Win rates of {', '.join(versions)}."),))


def _table(rates: Mapping[tuple[str, str, str], Any], judges: Sequence[str], versions: Sequence[str]) -> Table:
    sides = [(judge, axis) for judge in judges for axis in DOMAINS]
    rows = [Row((name, *(interval_cell(rates.get((judge, name, axis))) for judge, axis in sides))) for name in versions]
    published = [Row(cells[: len(sides) + 1], published=True) for cells in PUBLISHED]
    caption = (
        "Win rates. Rows in italics are the paper's, against ChatGPT and read off figure 11: by its own rewards, and where "
        "a second pair of columns stands, by GPT-4."
    )
    return Table(("", *(f"{axis}, {judge}" for judge, axis in sides)), (*rows, *published), caption)


def _changes(axis: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for row in rows:
        cells = (interval_cell(row.get(key), signed) for key in ("own_change", "neutral_change"))
        p, gap = number(row.get("neutral_p")), interval_cell(row.get("gap"), signed)
        yield Row((f"{row['version']}, {axis}", *cells, p, gap, "yes" if row.get("diverges") else "no"))


def _places(rates: Mapping[tuple[str, str, str], Any], judge: str, versions: Sequence[str]) -> list[Place]:
    """The versions that have a place on both axes."""
    places = []
    for version in versions:
        sides = [_numbers(rates.get((judge, version, axis))) for axis in DOMAINS]
        if all(sides):
            places.append(Place(version, *sides))  # type: ignore[arg-type]
    return places


def _numbers(interval: Any) -> tuple[float, float, float] | None:
    known = interval if isinstance(interval, Mapping) else {}
    values = [finite(known.get(key)) for key in ("estimate", "lower", "upper")]
    first, second, third = values
    return None if first is None or second is None or third is None else (first, second, third)


def _beside_people(stage: StageRecord, name: str) -> Iterator[Block]:
    found = stage.results["correlations"]
    replies = number(stage.results.get("replies"))
    yield Prose(f"{stage.name}: the rewards of {replies} replies beside the median of people's ratings of them.")
    rows = []
    for group, measures in found.items():
        cells = (interval_cell(measures.get(key), signed) for key in ("spearman", "kendall"))
        rows.append(Row((group, *cells, number(measures["spearman"].get("n")))))
    caption = "Rank correlations of median and reward, with 95% intervals by a bootstrap over prompts; Kendall's is tau-b."
    yield Table(("", "Spearman", "Kendall", "prompts"), tuple(rows), caption)
    groups = {group: rows for group, rows in stage.results.get("by_likert", {}).items() if len(rows) > 1}
    if len(groups) == 2:  # all, and the one domain that all are of
        groups.pop("all", None)
    figures = tuple(
        Figure(
            line_figure(f"{name}-{place}", [_band(group, rows)], "median rating", "mean reward"),
            f"Reward by rating · {group}",
            "The sigmoid of the reward, with one standard deviation to each side (figure 29).",
            f"Mean reward of {group} by median rating.",
        )
        for place, (group, rows) in enumerate(groups.items())
    )
    if figures:
        yield Figures(figures)


def _band(group: str, rows: Sequence[Mapping[str, Any]]) -> Line:
    means = [row["mean"] for row in rows]
    spread = [row["sd"] or 0.0 for row in rows]
    bounds = [(mean - sd, mean + sd) for mean, sd in zip(means, spread, strict=True)]
    return Line(group, [row["likert"] for row in rows], means, bounds, dots=True)
