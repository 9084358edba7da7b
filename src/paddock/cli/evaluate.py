"""`paddock agreement` and `paddock compare`: figures from people's ratings, for those who never train a model as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from paddock.cli.options import AsJson, Seed, show, show_table

Table = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Ratings, long or wide: .csv, .tsv, .jsonl, .json or .parquet.", dir_okay=False),
]
Item = Annotated[
    str | None, typer.Option("--item", help="The column that names items.", show_default="item, id, prompt_id or prompt")
]
Rater = Annotated[str, typer.Option("--rater", help="The column that names raters, in a long table.")]
Rating = Annotated[str, typer.Option("--rating", help="The column of ratings, in a long table.")]
Raters = Annotated[str | None, typer.Option("--raters", help="The raters' columns of a wide table: r1,r2,r3.")]
Confidence = Annotated[float, typer.Option("--confidence", min=0.5, max=0.9999, help="Of all intervals.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw the intervals into this file: .svg, .png or .pdf.")]


class Scale(StrEnum):
    """The benchmark scales."""

    landis_koch = "landis-koch"
    altman = "altman"
    fleiss = "fleiss"


def agreement(
    file: Table,
    coefficient: Annotated[
        list[str] | None,
        typer.Option("--coefficient", help="ac1, ac2, alpha, fleiss, scott, cohen, bp or pa; may be repeated."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            help="identity, linear, quadratic, ordinal, radical, ratio, circular or bipolar; may be repeated.",
        ),
    ] = None,
    categories: Annotated[
        str | None, typer.Option("--categories", help="All that could be given, labels in order: 1,2,3 or poor,fair,good.")
    ] = None,
    item: Item = None,
    rater: Rater = "rater",
    rating: Rating = "rating",
    raters: Raters = None,
    confidence: Confidence = 0.95,
    population: Annotated[
        int | None, typer.Option("--population", min=1, help="How many items there are, if these are a sample of few.")
    ] = None,
    sampled_raters: Annotated[
        bool, typer.Option("--sampled-raters", help="Errors that hold for other raters too (three raters or more).")
    ] = False,
    log_interval: Annotated[
        bool, typer.Option("--log-interval", help="Intervals on log(1 - value): better below a hundred items.")
    ] = False,
    ratio_errors: Annotated[
        bool, typer.Option("--ratio-errors", help="Errors that items with one rating do not inflate.")
    ] = False,
    scale: Annotated[Scale, typer.Option("--scale", help="The words for a value.")] = Scale.landis_koch,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Say how far raters agree beyond chance: coefficients with errors, intervals, p-values (paper section 3.4.2)."""
    from paddock.evaluate.agreement_report import agreement_report
    from paddock.evaluate.rating_tables import Layout, parse_categories, rated_items
    from paddock.text.tables import read_table

    layout = Layout(item, rater, rating, _names(raters))
    rated = rated_items(read_table(file), layout, parse_categories(categories))
    report = agreement_report(
        rated,
        tuple(coefficient or ()),
        tuple(weights or ()),
        scale.value,
        confidence_level=confidence,
        population_size=population,
        raters="sampled" if sampled_raters else "fixed",
        interval="log" if log_interval else "t",
        single_ratings="ratio" if ratio_errors else "gwet",
    )
    if plot:
        from paddock.report.evaluation_plots import agreement_plot

        agreement_plot(report["coefficients"], plot)
    if as_json:
        show(report, as_json)
        return
    rows = report["coefficients"]
    show({key: value for key, value in report.items() if key not in ("coefficients", "notes")}, as_json)
    columns = ("coefficient", "weights", "value", "se", "interval", "p", "pa", "pe", "n", "level")
    show_table([_coefficient_cells(row) for row in rows], columns)
    _show_notes([*report["notes"], *([f"drawn: {plot}"] if plot else [])])


def compare(
    file: Table,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="A column to group by; turns and prompt_words are counted if need be. May be repeated."),
    ] = None,
    item: Item = None,
    rater: Rater = "rater",
    rating: Rating = "rating",
    raters: Raters = None,
    points: Annotated[int, typer.Option("--points", min=2, help="The scale's length; 1 says that A is much better.")] = 7,
    each_rating: Annotated[
        bool, typer.Option("--each-rating", help="Count every rating, instead of the majority of a prompt's raters.")
    ] = False,
    confidence: Confidence = 0.95,
    width: Annotated[
        float | None,
        typer.Option("--width", min=0.001, max=0.999, help="Say how many prompts an interval of this width takes."),
    ] = None,
    seed: Seed = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Say which model wins: shares of wins, ties and losses with intervals and tests, strengths of three models or more."""
    from paddock.evaluate.comparison import compare as compare_models
    from paddock.evaluate.rating_tables import Layout, judgements
    from paddock.text.tables import read_table

    layout = Layout(item, rater, rating, _names(raters))
    found = judgements(read_table(file), layout, tuple(by or ()), points)
    result = compare_models(found, tuple(by or ()), each_rating, confidence, seed=seed or 0).as_result()
    if width:
        from paddock.statistics import trials_for_width

        for row in result["pairs"]:
            row["prompts_for_width"] = trials_for_width(width, row["win"]["estimate"], confidence)
    if plot:
        from paddock.report.evaluation_plots import comparison_plot

        comparison_plot(_rows(result), plot)
    if as_json:
        show(result, as_json)
        return
    show_comparison(result, [f"drawn: {plot}"] if plot else [])


def show_comparison(result: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
    """Print the shares of every pair and group, and strengths where there are some."""
    rows = [_share_cells(row) for row in _rows(result)]
    columns = ("pair", "group", "win", "tie", "loss", "without ties", "p", "prompts")
    show_table(rows, (*columns, "prompts_for_width") if any("prompts_for_width" in row for row in rows) else columns)
    if strengths := result.get("strengths"):
        print()
        show_table(strengths, ("model", "strength", "se", "lower", "upper"))
    _show_notes([*([result["note"]] if result.get("note") else []), *notes])


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every pair, followed by its groups."""
    groups = result.get("groups", [])
    sides = ("first", "second")
    return [
        row
        for pair in result["pairs"]
        for row in (pair, *(group for group in groups if all(group[side] == pair[side] for side in sides)))
    ]


def _coefficient_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A coefficient's figures to three digits, the interval in one cell."""
    rounded = {name: _decimal(row[name]) for name in ("value", "se", "pa", "pe")}
    known = row["lower"] is not None
    interval = f"{_decimal(row['lower'])} to {_decimal(row['upper'])}" if known else "-"
    return {**row, **rounded, "interval": interval, "p": _p_value(row["p_value"]), "level": row["level"] or "-"}


def _share_cells(row: dict[str, Any]) -> dict[str, Any]:
    """A pair's shares, that of wins with its interval; p is the sign test's."""
    shares = {name: _per_cent(row[name]["estimate"]) for name in ("win", "tie", "loss")}
    lower, upper = row["win"]["lower"], row["win"]["upper"]
    if lower is not None:
        shares["win"] += f" ({100 * lower:.1f} to {100 * upper:.1f})"
    pair = f"{row['first']} vs {row['second']}"
    without_ties = _per_cent(row["win_without_ties"]["estimate"])
    return {**row, **shares, "pair": pair, "without ties": without_ties, "p": _p_value(row["sign_p"])}


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _p_value(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def _show_notes(notes: list[str]) -> None:
    for note in notes:
        print(f"note: {note}")
