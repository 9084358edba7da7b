"""`paddock corpus FILES...` and `paddock corpus train-toxicity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paddock.cli.options import AsJson, Config, DryRun, Out, Seed, Set, group_with_default, show
from paddock.cli.stage import gather, run_stage

SCAN = "scan"


app = typer.Typer(
    cls=group_with_default(SCAN),
    help="Know what is in the pretraining data: `paddock corpus FILES... --out FOLDER`.",
    no_args_is_help=True,
)

Files = Annotated[list[str] | None, typer.Argument(metavar="FILES...", help="Documents: files, folders or globs.")]
Table = Annotated[Path, typer.Argument(metavar="FILE", help="A table of texts with labels: .csv or .csv.gz.")]
Compare = Annotated[
    list[str] | None, typer.Option("--compare", help='Another report.json, or "paper", to stand beside; may be repeated.')
]
Ray = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="Count on a Ray cluster; auto: the one here.")]
HateCheck = Annotated[
    Path | None, typer.Option("--hatecheck", help="HateCheck's test_suite_cases.csv, to tell how far to trust it.")
]


@app.command(SCAN)
def scan(
    out: Out,
    files: Files = None,
    compare: Compare = None,
    ray: Ray = None,
    seed: Seed = None,
    config: Config = None,
    set_: Set = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Count pronouns, identities, languages, duplicates and more, and write a report (paper section 4.1)."""
    values = gather(config, set_, data=files or None, compare=compare, ray=ray, seed=seed)
    run_stage("corpus", out, values, dry_run, as_json)


@app.command("train-toxicity")
def train_toxicity(
    file: Table,
    out: Out,
    text: Annotated[str, typer.Option("--text", help="The column of texts.")] = "text",
    label: Annotated[str, typer.Option("--label", help="The column of labels.")] = "label",
    toxic: Annotated[str, typer.Option("--toxic", help="The labels that mean toxic, parted by commas.")] = "1",
    hatecheck: HateCheck = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train a small classifier of toxic lines for `--set classifier=FOLDER`; its report says how far to trust it."""
    from paddock.run_dir import refuse_strangers
    from paddock.safety.corpus.linear import CLASSIFIER_FILE, read_rows, train_and_check

    refuse_strangers(out, CLASSIFIER_FILE)
    texts, labels = read_rows(file, text, label, frozenset(toxic.split(",")))
    classifier = train_and_check(texts, labels, hatecheck, seed or 0)
    classifier.save(out)
    show(classifier.about, as_json)
