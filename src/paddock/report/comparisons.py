"""Models side by side: who wins by a judge, by category, turns and length of prompt, and how the judge does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paddock.report.blocks import Block, Figure, Figures, Prose, Row, Section, Table
from paddock.report.comparison_drawings import shares_figure
from paddock.report.run_folder import Run, StageRecord
from paddock.report.wording import UNKNOWN, finite, interval_cell, number, scientific, signed

SHARES = ("win", "tie", "loss", "win_without_ties")
PUBLISHED = (  # Figure 1, by people
    ("Llama 2-Chat 70B vs ChatGPT", "35.9%", "31.5%", "32.5%"),
    ("Llama 2-Chat 70B vs PaLM-Bison", "53.0%", "24.6%", "22.4%"),
    ("Llama 2-Chat 34B vs Falcon 40B", "76.3%", "14.6%", "9.1%"),
)
PAPERS = {"category": "30", "turns": "31", "prompt_words": "31"}  # the paper's figure by such a column


def section(run: Run) -> Section | None:
    """Every stage `judge` of the run; None where there is none."""
    stages = [stage for stage in run.stages if stage.kind == "judge" and stage.results.get("pairs")]
    blocks = [block for place, stage in enumerate(stages) for block in _blocks(stage, f"judge{place}")]
    return Section("comparisons", "Side by side", tuple(blocks)) if blocks else None


def _blocks(stage: StageRecord, name: str) -> Iterator[Block]:
    results = stage.results
    yield Prose(_about(stage))
    yield _pairs(results)
    if results.get("strengths"):
        yield _strengths(results)
    yield _opponents(results)
    figures = tuple(_drawings(stage, name))
    if figures:
        yield Figures(figures)


def _about(stage: StageRecord) -> str:
    results = stage.results
    who = "a judge with a rubric" if stage.settings.get("judge") else "reward models, each on the prompts of its domain"
    text = f"{stage.name}: {number(results.get('contests'))} contests on {number(results.get('prompts'))} prompts, by {who}."
    without = sum(results.get("broken", {}).values())
    text += f" {without:,} have no verdict and count for nobody." if without else ""
    if bias := results.get("position_bias"):
        first, agree = (interval_cell(bias.get(key)).replace("\n", ", ") for key in ("first_place_wins", "orders_agree"))
        text += f" Of the verdicts other than ties, {first} went to the reply shown first; without bias it is half."
        if bias.get("orders_agree"):
            text += f" Both orders of a pair agree in {agree}; where they do not, the pair is a tie."
    return text


def _pairs(results: Mapping[str, Any]) -> Table:
    rows = [
        Row(
            (
                _pair(pair),
                *(interval_cell(pair.get(share)) for share in SHARES),
                _p(pair.get("sign_p")),
                number(pair.get("prompts")),
            )
        )
        for pair in results["pairs"]
    ]
    published = [Row((*cells, *(UNKNOWN,) * 3), published=True) for cells in PUBLISHED]
    caption = (
        "Shares of prompts, with 95% intervals (Wilson's). Without ties: wins of wins and losses, as in figure 2. p is that "
        "of the sign test. Rows in italics are the paper's, judged by people."
    )
    columns = ("", "win", "tie", "loss", "without ties", "p", "prompts")
    return Table(columns, (*rows, *published), caption)


def _strengths(results: Mapping[str, Any]) -> Table:
    rows = []
    for row in results["strengths"]:
        interval = {"estimate": row["strength"], "lower": row["lower"], "upper": row["upper"]}
        rows.append(Row((row["model"], interval_cell(interval, signed))))
    caption = "Strengths by the model of Bradley and Terry, in logits; their mean is 0. " + (results.get("note") or "")
    return Table(("", "strength"), tuple(rows), caption.strip())


def _opponents(results: Mapping[str, Any]) -> Table:
    keys = ("replies", "failed", "empty", "cut_short", "words", "tokens_written", "money")
    rows = [Row((row["model"], *(number(row.get(key)) for key in keys))) for row in results.get("opponents", [])]
    columns = ("", "replies", "failed", "empty", "cut short", "words a reply", "tokens written", "price")
    caption = "What each model replied. A failed reply has a reason in the stage's table, and its contests no verdict."
    return Table(columns, tuple(rows), caption)


def _drawings(stage: StageRecord, name: str) -> Iterator[Figure]:
    pairs = stage.results["pairs"]
    drawn = [(_pair(pair), pair) for pair in pairs if _is_known(pair)]
    if drawn:
        caption = f"{stage.name}; the line under a bar is the interval of the wins."
        yield Figure(
            shares_figure(f"{name}-pairs", drawn), "Wins, ties and losses", caption, f"{len(drawn)} pairs of models."
        )
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in stage.results.get("groups", []):
        if _is_known(row):
            grouped.setdefault(row["group"].partition(": ")[0], []).append(row)
    for column, of_column in grouped.items():
        several = len(pairs) > 1
        rows = [
            (f"{row['group'].partition(': ')[2]}{f' · {_pair(row)}' if several else ''} (n {row['prompts']:,})", row)
            for row in of_column
        ]
        if len(rows) > len(pairs):
            title = f"By {column.replace('_', ' ').removeprefix('prompt ')}"
            paper = f"As figure {PAPERS[column]} of the paper; " if column in PAPERS else ""
            caption = f"{paper}{'all pairs' if several else _pair(pairs[0])}."
            drawing = shares_figure(f"{name}-{column.replace('.', '-')}", rows)
            yield Figure(drawing, title, caption[0].upper() + caption[1:], f"Wins, ties and losses {title.lower()}.")


def _pair(row: Mapping[str, Any]) -> str:
    return f"{row['first']} vs {row['second']}"


def _is_known(row: Mapping[str, Any]) -> bool:
    return all(finite(row[share].get("estimate")) is not None for share in SHARES[:3])


def _p(value: Any) -> str:
    known = finite(value)
    return UNKNOWN if known is None else f"{known:.3f}" if known >= 0.001 else scientific(known)
