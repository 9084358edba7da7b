"""The options that commands share: one name for one thing everywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from paddock.report.blocks import Block, Prose
from paddock.report.blocks import Table as PageTable

Data = Annotated[list[str] | None, typer.Option("--data", help="A file, folder, glob or hf:// data set; may be repeated.")]
Model = Annotated[str | None, typer.Option("--model", help="A model's folder; for pretrain also a preset, such as 7b.")]
Out = Annotated[Path, typer.Option("--out", help="The folder that receives the result.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Everything random comes from it.", show_default="0")]
Config = Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be read and done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; progress goes to stderr.")]


def group_with_default(command: str) -> type[TyperGroup]:
    """A group of commands in which words that begin with none of their names are words of `command`."""

    class GroupWithDefault(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
                args = [command, *args]
            return list(super().parse_args(ctx, args))

    return GroupWithDefault


def show(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a result: JSON for machines, else a line a figure, groups under their name."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for line in lines_of(result):
        print(line)


def lines_of(result: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """The figures of a result, names aligned within their group."""
    width = max((len(key) for key in result), default=0)
    for key, value in result.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping) and len(value) > 3:
            yield f"{indent}{name}"
            yield from lines_of(value, indent + "  ")
        else:
            yield f"{indent}{name:<{width}}  {in_words(value)}"


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table of the given columns; what a row lacks stays empty."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(in_words(row[column]) if column in row else "" for column in columns))
    console = Console(file=sys.stdout)
    if not console.is_terminal:  # a file or a pipe has room for every cell
        console.width = max(console.width, console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table)


def show_blocks(blocks: Iterable[Block]) -> None:
    """Print what of a report's page is words and figures: paragraphs, and tables with their captions.

    A table's name for its own rows, left empty on the page, is "model"; the paper's rows, italic there, are marked.
    """
    for block in blocks:
        if isinstance(block, Prose):
            print(f"{block.text}\n")
        if isinstance(block, PageTable):
            columns = (block.columns[0] or "model", *block.columns[1:])
            rows = [[f"{row.cells[0]} (paper)" if row.published else row.cells[0], *row.cells[1:]] for row in block.rows]
            flat = [[cell.replace("\n", " ") for cell in row] for row in rows]
            show_table([dict(zip(columns, row, strict=True)) for row in flat], columns)
            print(f"{block.caption.replace('in italics', 'marked (paper)')}\n")


def in_words(value: Any) -> str:
    """A figure as people read it: thousands apart, four significant digits."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return "  ".join(f"{key.replace('_', ' ')} {in_words(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(in_words(item) for item in value)
    return str(value)
