"""`paddock run`, `paddock status`, `paddock report`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from paddock.cli.options import AsJson, DryRun, Seed, Set, in_words, show_table
from paddock.recipe import plan_recipe, read_recipe, run_recipe
from paddock.recipe import status as read_status

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/miniature.yaml.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/miniature.")]
RunOut = Annotated[Path | None, typer.Option("--out", help="The run's folder.", show_default="runs/NAME")]


def run(
    recipe: RecipeFile,
    out: RunOut = None,
    seed: Seed = None,
    set_: Set = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: skip what is complete, go on with what is broken, redo what a change touches."""
    read = read_recipe(recipe, set_ or [], seed, out)
    folder = read.steps[0].folder.path.parent
    if dry_run:
        _show_stages(plan_recipe(read), as_json)
        return
    results = run_recipe(read, folder)
    if int(os.environ.get("RANK", "0")):
        return
    if as_json:
        print(json.dumps(results, ensure_ascii=False))
        return
    from paddock.report.headline import chat_command
    from paddock.report.run_folder import read_run

    print(f"report  {folder / 'report.html'}")
    if chat := chat_command(read_run(folder)):
        print(f"chat    {chat}")


def status(run: RunFolder, as_json: AsJson = False) -> None:
    """Show how each stage of a run stands."""
    _show_stages(read_status(run), as_json)


def report(run: RunFolder) -> None:
    """Draw a run's report.html again from its files."""
    from paddock.report.page import write_report

    print(write_report(run))


def _show_stages(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"stages": rows}, ensure_ascii=False))
        return
    columns = ("name", "stage", "state")
    details = [{**row, "about": in_words({k: v for k, v in row.items() if k not in columns})} for row in rows]
    show_table(details, (*columns, "about"))
