"""Safety benchmarks: a model's figures above the paper's (tables 11, 14 and 44 to 50), and what they were measured with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from paddock.report.blocks import Block, Fact, Facts, Row, Section, Table
from paddock.report.run_folder import Run
from paddock.report.spine import place_in_run
from paddock.report.wording import UNKNOWN, finite, interval_cell, percent, sentence, value_text, words
from paddock.safety.benchmarks.published import BOLD_TABLES, PublishedTable, published_table

OVERALL = "overall"
MEAN_OF_GROUPS = "mean of groups"
KINDS = {"linear": "linear stand-in"}
"""The classifier of `paddock corpus train-toxicity` by what it is among judges."""
NAMES = {"truthfulqa": "TruthfulQA", "toxigen": "ToxiGen", "bold": "BOLD", "false_refusal": "False refusal"}
JUDGED = ("truthful_and_informative", "truthful", "informative")
REFUSALS = ("refused", "fully_refused", "partially_refused", "opens_as_refusal", "opening_disagrees")

Results = Mapping[str, Mapping[str, Any]]
"""The results of a stage `benchmark`: by benchmark, `scores` and `protocol`."""


def section(run: Run) -> Section | None:
    """The tables of every stage that measured a benchmark, their checks against the truth, and their protocols."""
    measured = {
        f"{stage.name}: {_model_of(stage.settings.get('model'))}": stage.results["benchmarks"]
        for stage in run.stages
        if stage.kind == "benchmark" and stage.results.get("benchmarks")
    }
    checked = [stage for stage in run.stages if stage.kind == "benchmark-truth" and stage.results.get("truth")]
    if not measured:
        return None
    blocks: list[Block] = [*tables_of(measured)]
    blocks += [_truth_table(stage.name, stage.results["truth"]) for stage in checked]
    blocks += [
        Facts(f"{name}: how {NAMES[benchmark]} was measured", _protocol(results))
        for name, by_benchmark in measured.items()
        for benchmark in NAMES
        if (results := by_benchmark.get(benchmark))
    ]
    return Section("benchmarks", "Safety benchmarks", tuple(blocks))


def _model_of(spec: Any) -> str:
    """`sft` for `${run}/sft/model`; of a specification's fields, the model that they name."""
    name = spec.get("model", spec.get("replies")) if isinstance(spec, Mapping) else spec
    return place_in_run(str(name)).removesuffix("/model")


def tables_of(measured: Mapping[str, Results]) -> Iterator[Table]:
    """Every table that the results of some models fill, a row a model, the paper's rows below them."""
    yield from _totals(measured)
    yield from _truthfulqa(measured)
    yield from _toxigen(measured)
    yield from _bold(measured)
    yield from _false_refusal(measured)


def _totals(measured: Mapping[str, Results]) -> Iterator[Table]:
    """Tables 11 and 14, where a model has both figures."""
    wanted = (("truthfulqa", JUDGED[0]), ("toxigen", "toxic"))
    own = {name: [_score(results, benchmark, metric) for benchmark, metric in wanted] for name, results in measured.items()}
    if any(all(scores) for scores in own.values()):
        rows = [Row((name, *map(interval_cell, scores))) for name, scores in own.items()]
        for number in ("11", "14"):
            rows += _published(number)
        caption = (
            "Tables 11 and 14: answers that are true and informative (higher is better), and continuations that are toxic, "
            "unweighted mean over groups (lower is better)."
        )
        caption += _told_by(measured, "truthfulqa") + _told_by(measured, "toxigen")
        yield _table(("true and informative", "toxic"), rows, caption)


def _truthfulqa(measured: Mapping[str, Results]) -> Iterator[Table]:
    metrics = (*JUDGED, "mc1", "mc2")
    own = {name: [_score(results, "truthfulqa", metric) for metric in metrics] for name, results in measured.items()}
    own = {name: scores for name, scores in own.items() if any(scores)}
    if own:
        rows = [Row((name, *map(interval_cell, scores))) for name, scores in own.items()]
        rows += [Row((*row.cells, UNKNOWN, UNKNOWN), published=True) for row in _published("44")]
        caption = "TruthfulQA (table 44). MC1, MC2: multiple choice, which the paper does not report."
        caption += _told_by(measured, "truthfulqa")
        yield _table((*map(words, JUDGED), "MC1", "MC2"), rows, caption)


def _toxigen(measured: Mapping[str, Results]) -> Iterator[Table]:
    paper = published_table("45")
    groups = _groups(measured, "toxigen", "toxic", "group")
    if groups:
        groups, is_published = _in_order(groups, paper)
        names = [OVERALL, *(f"group: {group}" for group in groups)]
        rows = _rows(measured, "toxigen", "toxic", names, interval_cell)
        if is_published:
            totals = {row.cells[0]: row.cells[-1] for number in ("11", "14") for row in _published(number)}
            rows += [
                Row((model, totals[model], *cells), published=True)
                for model, *cells in (row.cells for row in _published("45", groups))
            ]
        caption = (
            "ToxiGen by group (table 45): the share of continuations that the classifier calls toxic; first the unweighted "
            "mean of the groups (tables 11 and 14)."
        )
        caption += _told_by(measured, "toxigen")
        columns = (MEAN_OF_GROUPS, *groups)
        yield _table(columns, rows, f"{caption} {paper.note if is_published else ''}".strip())


def _bold(measured: Mapping[str, Results]) -> Iterator[Table]:
    for domain, number in BOLD_TABLES.items():
        paper = published_table(number)
        groups = _groups(measured, "bold", "sentiment", domain)
        if not groups:
            continue
        groups, is_published = _in_order(groups, paper)
        names = [f"{domain}: {group}" for group in groups]
        rows = _rows(measured, "bold", "sentiment", names, _sentiment_cell)
        rows += _baselines(_rows(measured, "bold", "wikipedia", names, _sentiment_cell))
        if is_published:
            rows += _published(number, groups)
        caption = (
            f"BOLD, {words(domain)} (table {number}): VADER's compound sentiment of prompt and continuation, from −1 to 1. "
            "Wikipedia's sentences are those that the prompts begin: how much sentiment the prompts' own subjects bring."
        )
        yield _table([words(group) for group in groups], rows, f"{caption} {paper.note if is_published else ''}".strip())


def _baselines(rows: Sequence[Row]) -> list[Row]:
    """The sentences' own row, the same whatever the model; one a data set, named by the first that read it."""
    found: dict[tuple[str, ...], str] = {}
    for row in rows:
        found.setdefault(row.cells[1:], row.cells[0])
    label = "Wikipedia's sentences"
    return [
        Row((label if len(found) == 1 else f"{label}, as {n} had them", *cells), total=True) for cells, n in found.items()
    ]


def _false_refusal(measured: Mapping[str, Results]) -> Iterator[Table]:
    sets = _groups(measured, "false_refusal", "refused", "set")
    if sets:
        rows = []
        for name, results in measured.items():
            for group in sets:
                cells = [_score(results, "false_refusal", metric, f"set: {group}") for metric in REFUSALS]
                if any(cells):
                    rows.append(Row((f"{name}, {group}", *map(interval_cell, cells))))
        caption = (
            "Refusals, in full and in part, as the detector tells them, replies that open as one of XSTest's list, and "
            "those on which the two disagree: where they are many, read some before the detector's share is believed. "
            "Refusing a safe or a borderline prompt is a false refusal; refusing an unsafe one is right. The paper's 210 "
            "borderline prompts are not public; with all of its safety data, its model refused 27% of them (figure 33)."
        )
        caption += _told_by(measured, "false_refusal")
        yield _table([words(metric) for metric in REFUSALS], rows, caption)


def _truth_table(name: str, checked: Sequence[Mapping[str, Any]]) -> Table:
    rows = [Row((f"{NAMES[row['benchmark']]}: {words(row['metric'])}", *_truth_cells(row))) for row in checked]
    caption = (
        f"{name}: the figures by judge, classifier, VADER and detector beside the world's truth about the same answers, and "
        "the share of answers on which the two agree (sentiments: within 0.05)."
    )
    return _table(("measured", "true", "alike"), rows, caption)


def _truth_cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    text = _sentiment_cell if row["metric"] == "sentiment" else interval_cell
    return text(row["measured"]), text(row["true"]), f"{100 * row['alike']:.1f}%"


def _told_by(measured: Mapping[str, Results], benchmark: str) -> str:
    """Who judged the answers, and how far that can be trusted; of several models with names."""
    found: dict[str, list[str]] = {}
    for name, results in measured.items():
        about = results.get(benchmark, {}).get("protocol", {})
        judges = about.get("judges", {}) | {key: about[key] for key in ("classifier", "detector") if key in about}
        if judges:
            told = ", ".join(f"{words(key)}: {_judge(its)}" for key, its in judges.items())
            found.setdefault(told, []).append(name)
    texts = [told if len(found) == 1 else f"{', '.join(names)}: {told}" for told, names in found.items()]
    return "".join(f" Told by {text}." for text in texts)


def _judge(about: Mapping[str, Any]) -> str:
    """`linear stand-in (84.6% right where held out)`; a model by its name."""
    name, kind = about.get("model", about.get("name")), str(about.get("kind", UNKNOWN))
    who = f"{kind} {_model_of(name)}" if name else KINDS.get(kind, kind)
    worth: Mapping[str, Any] = next(
        (about[key] for key in ("held_out_questions", "agreement", "held_out_accuracy") if about.get(key)), {}
    )
    right = finite(worth.get("estimate"))
    return who if right is None else f"{who} ({percent(right)} right where held out)"


def _score(results: Results, benchmark: str, metric: str, group: str = OVERALL) -> Mapping[str, Any] | None:
    rows = results.get(benchmark, {}).get("scores", [])
    return next((row for row in rows if row["metric"] == metric and row["group"] == group), None)


def _groups(measured: Mapping[str, Results], benchmark: str, metric: str, kind: str) -> list[str]:
    """The groups of one kind that any model has a figure for: `asian` of `group: asian`."""
    found = (
        row["group"].removeprefix(f"{kind}: ")
        for results in measured.values()
        for row in results.get(benchmark, {}).get("scores", [])
        if row["metric"] == metric and row["group"].startswith(f"{kind}: ")
    )
    return list(dict.fromkeys(found))


def _in_order(groups: Sequence[str], paper: PublishedTable) -> tuple[list[str], bool]:
    """The groups, those of the paper's table first and in its order; and whether there is one of those."""
    published = [column for column in paper.columns if column in groups]
    return [*published, *(group for group in groups if group not in published)], bool(published)


def _rows(
    measured: Mapping[str, Results], benchmark: str, metric: str, groups: Sequence[str], cell: Callable[[Any], str]
) -> list[Row]:
    """A row a model that has the benchmark."""
    return [
        Row((name, *(cell(_score(results, benchmark, metric, group)) for group in groups)))
        for name, results in measured.items()
        if benchmark in results
    ]


def _published(number: str, columns: Sequence[str] | None = None) -> list[Row]:
    """The paper's rows of a table, marked as published; a column that it has not is unknown."""
    table = published_table(number)
    unit = "%" if table.unit == "per cent" else ""

    def cell(model: str, column: str) -> str:
        return f"{table.figure(model, column):.2f}{unit}" if column in table.columns else UNKNOWN

    wanted = columns or table.columns
    return [Row((model, *(cell(model, column) for column in wanted)), published=True) for model in table.rows]


def _table(columns: Sequence[str], rows: Sequence[Row], caption: str) -> Table:
    published = any(row.published for row in rows)
    note = " Rows in italics are the paper's, of other models on the published sets." if published else ""
    intervals = "Intervals are 95%, by bootstrap, and Wilson's where all values of a share are alike."
    return Table(("", *columns), tuple(rows), f"{caption}{note} {intervals}")


def _sentiment_cell(score: Any) -> str:
    return interval_cell(score, lambda value: f"{value:.2f}".replace("-", "−"))


def _protocol(results: Mapping[str, Any]) -> tuple[Fact, ...]:
    """All that the figures depend on, and what failed."""
    counts = {key: value for key, value in results.items() if finite(value) is not None}
    about = {**results.get("protocol", {}), **counts}
    return tuple(Fact(sentence(key), value_text(value), code=True) for key, value in about.items())
