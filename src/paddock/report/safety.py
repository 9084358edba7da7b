"""Safety tuning: with and without adversarial prompts (Figure 14), more and more data (Figures 15 and 33), and context
distillation (Figure 16). The paper's figures are readings from its plots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from paddock.report.blocks import Block, Figure, Figures, Prose, Row, Section, Table
from paddock.report.drawings import Line
from paddock.report.run_folder import Run, StageRecord
from paddock.report.safety_drawings import Dots, box_figure, ridge_figure, scatter_figure, share_figure
from paddock.report.wording import UNKNOWN, finite, interval_cell, number, percent, sentence, signed, words
from paddock.run_dir import read_log

PUBLISHED_SCALING = {  # share -> Figure 15's mean safety reward, Figure 33's refusals of helpful and of borderline prompts
    0.0: (0.680, 0.00006, 0.150),
    0.01: (0.693, 0.00013, 0.167),
    0.1: (0.724, 0.00026, 0.178),
    0.25: (0.739, 0.00026, 0.217),
    0.5: (0.762, 0.00051, 0.233),
    1.0: (0.773, 0.00051, 0.272),
}
PUBLISHED_REWARDS = {"original": 0.75, "generic": 0.82, "template": 0.87}  # medians of Figure 16a


def section(run: Run) -> Section | None:
    """Every stage of safety tuning; None where there is none."""
    draw: dict[str, Callable[[StageRecord, str], Iterator[Block]]] = {
        "compare-rewards": _compared,
        "safety-scaling": _scaled,
        "context-distillation": _distilled,
    }
    blocks = [
        block
        for place, stage in enumerate(run.stages)
        if stage.kind in draw and stage.results
        for block in draw[stage.kind](stage, f"safety{place}")
    ]
    return Section("safety", "Safety tuning", tuple(blocks)) if blocks else None


def _compared(stage: StageRecord, name: str) -> Iterator[Table | Figures]:
    """Figure 14: a dot a prompt, the reward of one model over that of the other."""
    domains: dict[str, dict[str, Any]] = stage.results.get("domains", {})
    rows = tuple(
        Row(
            (
                sentence(domain),
                number(found["n"]),
                *(interval_cell(found[key], lambda value: f"{value:.3f}") for key in ("reward_before", "reward")),
                interval_cell(found["difference"], signed),
                number(found["permutation_p"]),
                *(interval_cell(found[key]) for key in ("low_to_high", "high_to_low")),
            )
        )
        for domain, found in domains.items()
    )
    columns = ("domain", "prompts", "reward before", "after", "change", "p", "below 0.4 to above 0.6", "the other way")
    caption = (
        f"{stage.name}: the safety reward on adversarial prompts, the helpfulness reward on the others, sigmoids. Before: "
        f"{_model(stage, 'model_before')}; after: {_model(stage, 'model')}. p: permutation test of the paired replies."
    )
    yield Table(columns, rows, caption)
    samples = list(read_log(stage.folder / "samples.jsonl"))
    figures = []
    for place, domain in enumerate(sorted(domains, key=lambda domain: domain != "safety")):  # as in the paper, left to right
        some = [row for row in samples if row.get("domain") == domain]
        dots = [Dots(domain, [row["reward_before"] for row in some], [row["reward"] for row in some])]
        drawing = scatter_figure(f"{name}-dots{place}", dots, "reward before", "reward after", diagonal=True)
        caption = "A dot a held-out prompt (figure 14); above the dashed line the second model's reply scores higher."
        figures.append(Figure(drawing, f"{sentence(domain)} reward · {stage.name}", caption, caption))
    yield Figures(tuple(figures))


def _model(stage: StageRecord, key: str) -> str:
    return str(stage.settings.get(key, UNKNOWN)).removeprefix("${run}/").removesuffix("/model")


def _scaled(stage: StageRecord, name: str) -> Iterator[Table | Figures]:
    """Figures 15 and 33."""
    rows: list[dict[str, Any]] = stage.results["shares"]
    groups = sorted({group for row in rows for group in row["refusals"]}, reverse=True)  # helpfulness first, as in the paper
    table = [
        Row(
            (
                _share(row["share"]),
                number(row["dialogs"]),
                *(interval_cell(row[key], lambda value: f"{value:.3f}") for key in ("safety", "helpfulness")),
                interval_cell(row["unsafe"]),
                *(interval_cell(row["refusals"].get(group)) for group in groups),
            )
        )
        for row in rows
    ]
    for share, (safety, helpful, borderline) in PUBLISHED_SCALING.items():
        refusals = {"helpfulness": f"{100 * helpful:.3f}%", "borderline": percent(borderline)}
        cells = (_share(share), UNKNOWN, f"{safety:.3f}", UNKNOWN, UNKNOWN, *(refusals[group] for group in groups))
        table.append(Row(cells, published=True))
    columns = ("safety data", "dialogs", "safety reward", "helpfulness reward", "scored below 0.15")
    caption = (
        f"{stage.name}: each model is fine-tuned from the pretrained one on all helpfulness data and a share of the safety "
        "data. Mean sigmoids on held-out prompts of each domain; the share of safety scores below 0.15; refusals of helpful "
        "and of borderline prompts. Rows in italics are readings of the paper's figures 15 and 33."
    )
    yield Table((*columns, *(f"refusals, {group}" for group in groups)), tuple(table), caption)
    yield Figures(tuple(_scaling_figures(stage, rows, groups, name)))


def _share(share: float) -> str:
    return f"{100 * share:g}%"


def _scaling_figures(stage: StageRecord, rows: list[dict[str, Any]], groups: list[str], name: str) -> Iterator[Figure]:
    shares = [row["share"] for row in rows]

    def line(label: str, intervals: list[Any]) -> Line:
        known = [(place, row) for place, row in enumerate(intervals) if row and finite(row["lower"]) is not None]
        bounds = [(row["lower"], row["upper"]) for _, row in known]
        return Line(label, [place for place, _ in known], [row["estimate"] for _, row in known], bounds)

    rewards = [line(f"{key} reward", [row[key] for row in rows]) for key in ("safety", "helpfulness")]
    caption = (
        "Mean reward on held-out prompts, by the share of the safety data learnt (figure 15, left); bands are intervals."
    )
    drawing = share_figure(f"{name}-rewards", rewards, shares, "mean reward", per_cent=False)
    yield Figure(drawing, f"Safety data scaling · {stage.name}", caption, caption)
    histograms = {_share(row["share"]): row["histogram"] for row in rows}
    caption = "Safety rewards of replies to adversarial prompts, a row a share (figure 15, right); the left tail is unsafe."
    yield Figure(
        ridge_figure(f"{name}-tail", histograms, "safety reward"), f"The worst tail · {stage.name}", caption, caption
    )
    for group in groups:  # a drawing each, as in the paper: a scale for both would hide the rarer kind
        refusals = [line(words(group), [row["refusals"].get(group) for row in rows])]
        caption = f"Refused {group} prompts, which deserve an answer, by the share of the safety data learnt (figure 33)."
        drawing = share_figure(f"{name}-refusals-{group}", refusals, shares, "refused", per_cent=True)
        yield Figure(drawing, f"False refusals, {group} · {stage.name}", caption, caption)


def _distilled(stage: StageRecord, name: str) -> Iterator[Prose | Table | Figures]:
    """Figure 16, and the side effects."""
    results = stage.results
    fates = "; ".join(f"{fate} {count:,}" for fate, count in results["fates"].items())
    lacking = results.get("without_template")
    yield Prose(
        f"{stage.name}: of {results['prompts']:,} adversarial prompts {results['kept']:,} are learnt from ({fates})."
        + (f" {lacking:,} are of a risk category without a template." if lacking else "")
    )
    effects = {row["answer"]: row for row in results.get("side_effects", [])}
    rows = [
        Row(
            (
                sentence(row["answer"]),
                number(row["n"]),
                interval_cell(row, lambda value: f"{value:.3f}"),
                f"{row['quantiles']['0.5']:.3f}" if row["quantiles"] else UNKNOWN,
                interval_cell(effects.get(row["answer"])),
            )
        )
        for row in results["rewards"]
    ]
    rows += [
        Row((sentence(answer), UNKNOWN, UNKNOWN, f"{median:.2f}", UNKNOWN), published=True)
        for answer, median in PUBLISHED_REWARDS.items()
    ]
    caption = (
        "Answers without a preprompt, under a generic one, and under the answer template of the prompt's risk category: "
        "their safety reward on adversarial prompts (sigmoid), and the share of harmless prompts that they refuse. Rows in "
        "italics are readings of the paper's figure 16a."
    )
    yield Table(("answer", "answers", "mean reward", "median", "refusals of harmless prompts"), tuple(rows), caption)
    boxes = {row["answer"]: row["quantiles"] for row in results["rewards"] if row["quantiles"]}
    caption = "The safety reward: quartiles, and the 5th and the 95th hundredth (figure 16a)."
    figures = [Figure(box_figure(f"{name}-boxes", boxes, "safety reward"), f"Rewards · {stage.name}", caption, caption)]
    if gains := _gains(stage):
        caption = (
            "What the distilled answer gains over the original one, by the original's reward (figure 16b); a dot a prompt."
        )
        drawing = scatter_figure(f"{name}-gains", gains, "original reward", "gain", diagonal=False)
        figures.append(Figure(drawing, f"Gains · {stage.name}", caption, caption))
    yield Figures(tuple(figures))


def _gains(stage: StageRecord) -> list[Dots]:
    """The dots of Figure 16b, those that were kept apart from the rest."""
    rows = [row for row in read_log(stage.folder / "distilled.jsonl") if row.get("distilled_score") is not None]
    found = []
    for kept, label in ((True, "kept"), (False, "not kept")):
        pairs = [(_sigmoid(r["original_score"]), _sigmoid(r["distilled_score"])) for r in rows if r["kept"] is kept]
        if pairs:
            found.append(Dots(label, [x for x, _ in pairs], [y - x for x, y in pairs], kept))
    return found


def _sigmoid(logit: float) -> float:
    return (1 + math.tanh(logit / 2)) / 2
