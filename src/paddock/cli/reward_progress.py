"""`paddock reward-curve`: versions' progress by reward models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from paddock.cli.options import AsJson, Config, Data, DryRun, Out, Seed, Set, in_words, show_table
from paddock.cli.stage import gather, run_stage


def reward_curve(
    out: Out,
    data: Data = None,
    models: Annotated[Path | None, typer.Option("--models", help="A YAML file of versions by name, in order.")] = None,
    opponent: Annotated[
        str | None, typer.Option("--opponent", help="Whom each is compared with: a folder or a spec.")
    ] = None,
    seed: Seed = None,
    config: Config = None,
    set_: Set = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Show versions' progress on both axes by reward models, neutral ones beside their own (paper section 3.4.1)."""
    values = gather(config, set_, data=data, models=models and str(models), opponent=opponent, seed=seed)
    run_stage("reward-curve", out, values, dry_run, as_json, show_curve)


def show_curve(result: dict[str, Any], out: Path) -> None:
    """Print where each version stands, and whether the two judges part."""
    rows = [{**row, **row["win_rate"]} for row in result["curve"]]
    show_table(rows, ("version", "judge", "axis", "estimate", "lower", "upper", "n", "unscored"))
    print(f"\ndiverges  {in_words(result['diverges'])}\nnote: `paddock report {out}` draws it")
