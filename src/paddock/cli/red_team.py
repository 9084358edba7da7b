"""`paddock red-team`: what a log of red teaming shows, in the report's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddock.cli.benchmark import show_report_table
from paddock.cli.options import AsJson, Config, Data, DryRun, Model, Out, Seed, Set, show
from paddock.cli.stage import gather, run_stage


def red_team(
    out: Out,
    model: Model = None,
    data: Data = None,
    seed: Seed = None,
    config: Config = None,
    set_: Set = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say what a log of red teaming shows, and send what violated to a new version (paper section 4.3)."""
    run_stage("red-team", out, gather(config, set_, model=model, data=data, seed=seed), dry_run, as_json, show_results)


def show_results(results: dict[str, Any], out: Path) -> None:
    """Print the tables of the report, and what was exported."""
    from paddock.report.red_team import tables_of

    for table, first in zip(tables_of(out.name, results), ("version", "group", ""), strict=False):  # reruns may lack
        show_report_table(table, first)
    show({key: results[key] for key in ("attempts", "people", "sessions", "person_hours", "exported")}, as_json=False)
