"""`paddock judge`: models compared side by side by a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from paddock.cli.evaluate import show_comparison
from paddock.cli.options import AsJson, Config, Data, DryRun, Out, Seed, Set, show, show_table
from paddock.cli.stage import gather, run_stage

COLUMNS = ("model", "replies", "failed", "empty", "cut_short", "words", "tokens_written", "money", "seconds")


def judge(
    out: Out,
    data: Data = None,
    opponents: Annotated[
        Path | None, typer.Option("--opponents", help="A YAML file of models by name, two or more.")
    ] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="The chat model that judges: a folder or a spec.")] = None,
    rubric: Annotated[
        Path | None, typer.Option("--rubric", help="A file that says how to judge; default: built in.")
    ] = None,
    seed: Seed = None,
    config: Config = None,
    set_: Set = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Compare models by a judge, any chat model with a rubric or a reward model: wins, ties, losses, position bias."""
    paths = {name: None if path is None else str(path) for name, path in (("opponents", opponents), ("rubric", rubric))}
    values = gather(config, set_, data=data, judge=judge, seed=seed, **paths)
    run_stage("judge", out, values, dry_run, as_json, show_judge)


def show_judge(result: dict[str, Any], out: Path) -> None:
    """Print who replied, what the judge did, and who won."""
    show_table(result["opponents"], COLUMNS)
    print()
    show(
        {name: result[name] for name in ("prompts", "contests", "broken", "judges", "position_bias") if result[name]}, False
    )
    print()
    show_comparison(result)
    print(f"\nnote: every verdict stands in {out / 'judgements.jsonl'}, which `paddock compare` reads")
