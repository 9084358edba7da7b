"""Ghost Attention: how long models keep an instruction (Table 30), and how they look back at it (Figures 9 and 10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paddock.report.blocks import Figure, Figures, Prose, Row, Section, Table
from paddock.report.drawings import Line, attention_figure, line_figure
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, interval_cell, number, sentence, words

TURNS = (1, *range(2, 21, 2))
LAST = "last"
PUBLISHED = {  # Table 30 by turn, in per cent: human evaluation, public figures and hobbies
    "Llama 2 without Ghost Attention": {2: 100, 4: 10, 6: 0, 20: 0},
    "Llama 2 with it": {2: 100, 4: 100, 6: 100, 20: 100},
}
PICTURES = "attention.npz"


def section(run: Run) -> Section | None:
    """Every check of consistency, and what was sampled to learn from; None where there is neither."""
    blocks: list[Prose | Table | Figures] = [table for table in (_sampled(run),) if table]
    for place, stage in enumerate(run.stages):
        if stage.kind == "consistency" and stage.results.get("consistency"):
            blocks += [*_tables(stage), Figures(tuple(_drawings(stage, f"ghost{place}")))]
    return Section("ghost-attention", "Ghost Attention", tuple(blocks)) if blocks else None


def _sampled(run: Run) -> Table | None:
    """What was sampled, and what became of it."""
    stages = [stage for stage in run.stages if stage.kind == "ghost-attention" and stage.results.get("fates")]
    if not stages:
        return None
    fates = list(dict.fromkeys(fate for stage in stages for fate in stage.results["fates"]))
    rows = tuple(
        Row(
            (
                stage.name,
                number(stage.results.get("dialogs")),
                number(stage.results.get("replies")),
                *(number(stage.results["fates"].get(fate, 0)) for fate in fates),
            )
        )
        for stage in stages
    )
    caption = "Dialogs to learn from, the replies that were sampled for them, and what became of these."
    return Table(("", "dialogs", "replies", *fates), rows, caption) if rows else None


def _measured(stage: StageRecord) -> dict[str, list[dict[str, Any]]]:
    """Each model's rows; those beside which it stands come before the model that the stage is about."""
    rows: dict[str, list[dict[str, Any]]] = stage.results["consistency"]
    return {name: rows[name] for name in sorted(rows, key=lambda name: (name == stage.settings.get("name"), name))}


def _tables(stage: StageRecord) -> Iterator[Table]:
    measured = _measured(stage)
    found = {(name, row["group"], row["kind"], row["turn"]): row for name, rows in measured.items() for row in rows}
    groups = list(dict.fromkeys(group for _, group, _, _ in found))
    turns = [turn for turn in (*TURNS, LAST) if any(key[3] == turn for key in found)]
    rows = [
        Row((_row_name(name, group), *(interval_cell(found.get((name, group, "all", turn))) for turn in turns)))
        for group in groups
        for name in measured
    ]
    rows += [
        Row((name, *(f"{shares[turn]}%" if turn in shares else UNKNOWN for turn in turns)), published=True)
        for name, shares in PUBLISHED.items()
    ]
    caption = (
        f"{stage.name}: share of dialogs that keep the instruction at each turn, of those that got there, with 95% "
        "intervals; the instruction stands on the first turn alone. Last: the last turn that fits the context. Rows in "
        "italics are the paper's table 30, where people asked about a figure or a hobby."
    )
    yield Table(("", *(f"turn {turn}" if turn != LAST else LAST for turn in turns)), tuple(rows), caption)
    yield from _by_kind(stage, found, groups)


def _by_kind(stage: StageRecord, found: dict[tuple[Any, ...], dict[str, Any]], groups: Sequence[str]) -> Iterator[Table]:
    """Each kind at the latest turn of Table 30 that dialogs got to; nothing where there is one kind in all."""
    kinds = [kind for kind in dict.fromkeys(kind for _, _, kind, _ in found) if kind != "all"]
    turn = max((turn for _, _, _, turn in found if turn in TURNS), default=None)
    if len(kinds) < 2 or turn is None:
        return
    names = _measured(stage)
    rows = tuple(
        Row((_row_name(name, group), *(interval_cell(found.get((name, group, kind, turn))) for kind in kinds)))
        for group in groups
        for name in names
    )
    yield Table(("", *map(words, kinds)), rows, f"{stage.name}: the same at turn {turn}, by kind of instruction.")


def _row_name(name: str, group: str) -> str:
    return f"{name}: {group}" if group else name


def _drawings(stage: StageRecord, name: str) -> Iterator[Figure]:
    yield from _by_turn(stage, name)
    looks = stage.results.get("attention_to_system_by_turn", {})
    if looks:
        by_model = {
            model: sorted((int(turn), value) for turn, value in looks[model].items())
            for model in _measured(stage)
            if model in looks
        }
        lines = [Line(model, [x for x, _ in points], [y for _, y in points]) for model, points in by_model.items()]
        drawing = line_figure(f"{name}-looks", lines, "turn", "attention")
        caption = (
            "The maximum over layers, heads and the system message's tokens, mean over a turn's tokens; all models read the "
            "same dialogs, as far as they fit every model's context."
        )
        yield Figure(drawing, f"Attention to the system message · {stage.name}", caption, f"By turn. {caption}")
    if (stage.folder / PICTURES).is_file():
        yield from _pictures(stage, name)


def _by_turn(stage: StageRecord, name: str) -> Iterator[Figure]:
    """A drawing a group: the share by turn, a line a model."""
    measured = _measured(stage)
    groups = dict.fromkeys(row["group"] for rows in measured.values() for row in rows)
    for place, group in enumerate(groups):
        lines = []
        for model, rows in measured.items():
            points = [
                row
                for row in rows
                if row["group"] == group
                and row["kind"] == "all"
                and row["turn"] != LAST
                and finite(row["estimate"]) is not None
            ]
            bounds = [(row["lower"], row["upper"]) for row in points]
            lines.append(Line(model, [row["turn"] for row in points], [row["estimate"] for row in points], bounds))
        drawing = line_figure(f"{name}-turns{place}", lines, "turn", "share of dialogs", shares=True)
        title = f"{sentence(group) or 'Instruction kept'} · {stage.name}"
        caption = "Dialogs that keep the instruction, of those that got to the turn; bands are 95% intervals."
        yield Figure(drawing, title, caption, f"{title}, by turn and model. {caption}")


def _pictures(stage: StageRecord, name: str) -> Iterator[Figure]:
    """Figure 10, a picture a model."""
    with np.load(stage.folder / PICTURES) as held:
        names = held["names"].tolist()
        brightest = max(float(held[f"picture{place}"].max()) for place in range(len(names)))
        for place, model in enumerate(names):
            begin, end = (int(token) for token in held[f"system{place}"])
            drawing = attention_figure(
                f"{name}-picture{place}", held[f"picture{place}"], int(held[f"tokens{place}"]), (begin, end), brightest
            )
            caption = (
                "Each later token's attention to each earlier one: the maximum over layers and heads, neighbouring tokens "
                "together (figure 10). The lines bound the system message. Every model reads the same turns."
            )
            yield Figure(drawing, f"Attention · {model}", caption, f"A triangle of attentions of {model}. {caption}")
