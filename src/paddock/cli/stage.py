"""The stages as commands of their own: `paddock world`, `pretrain`, `sft`, ...

A command takes the same settings as the stage in a recipe: `--config FILE` holds them, `--set KEY=VALUE` changes one, and
`--model`, `--data`, `--seed` are short for the settings of those names, where the stage has them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from paddock.catalog import find_stage
from paddock.cli.options import AsJson, Config, Data, DryRun, Model, Out, Seed, Set, show, show_blocks
from paddock.progress import say
from paddock.recipe import Step, held, is_first, joined, run_step
from paddock.report.blocks import Section
from paddock.run_dir import StageDir, require_inputs
from paddock.settings import assign, parse, read_yaml_file

WORLD = "Generate the miniature world: documents, dialogs and held-out prompts with known truth."
REWARD_HUMAN = "Correlate rewards with people's ratings of single replies (paper appendix A.3.6)."
COMMANDS = {  # stage with model and data -> what its command says of itself
    "pretrain": "Train a base model on documents (paper section 2).",
    "sft": "Fine-tune a model on dialogs; answers alone bear loss (paper section 3.1).",
    "preferences": "Sample pairs of replies, and gather which of them are preferred (paper section 3.1).",
    "reward": "Train a reward model on preferences (paper section 3.2.2).",
    "rejection": "Fine-tune on the best of a model's own replies, by reward (paper section 3.2.2).",
    "rlhf": "Make versions V1 to V5: rejection sampling, new preferences, new reward models (paper sections 3.2 and 4).",
    "ppo": "Raise a policy's reward, kept close to where it began (paper section 3.2.3).",
    "ghost-attention": "Sample dialogs whose first instruction holds to the end, to fine-tune on (paper section 3.3).",
    "consistency": "Measure at which turn models still keep an instruction (paper section 3.3, Table 30).",
    "compare-rewards": "Set the rewards of two models' replies beside each other (paper Figure 14).",
    "context-distillation": "Sample answers under a safety preprompt, to learn without it (paper section 4.2.4).",
    "safety-scaling": "Fine-tune with more and more safety data; count rewards and refusals (paper section 4.2.3).",
    "red-team": "Say what a log of red teaming shows, and send what violated to a new version (paper section 4.3).",
    "red-team-world": "Let simulated people red-team a model of the miniature world.",
    "study": "Have the miniature world's annotators rate two models side by side, through the studio (paper section 3.4.2).",
    "evaluate-world": "Grade a model on the miniature world's held-out prompts.",
    "world-benchmarks": "Generate the miniature world's own sets for the safety benchmarks.",
    "benchmark-truth": "Check the scores of benchmarks against the miniature world's truth.",
}

LACKING = {"world-benchmarks": ("model",), "benchmark-truth": ("model",)}  # options that a stage has no setting for


DRAWN = {"compare-rewards": "safety", "context-distillation": "safety", "safety-scaling": "safety", "red-team": "red-team"}
"""Stages whose command draws the paper's figures (14 to 16 and 33, gamma) as a page beside the results, and the section of
the page whose tables it prints."""


def command(kind: str, about: str, without: Collection[str] = ()) -> Callable[..., None]:
    """The command of the stage `kind`, which says `about` itself; `without` options that the stage has no setting for."""

    def run(
        out: Out,
        model: Model = None,
        data: Data = None,
        seed: Seed = None,
        config: Config = None,
        set_: Set = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        run_stage(kind, out, gather(config, set_, model=model, data=data, seed=seed), dry_run, as_json)

    own = inspect.signature(run, eval_str=True)
    run.__doc__ = about
    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[option for name, option in own.parameters.items() if name not in without]
    )
    return run


def run_stage(
    kind: str,
    out: Path,
    values: dict[str, Any],
    dry_run: bool,
    as_json: bool,
    show_results: Callable[[dict[str, Any], Path], None] | None = None,
) -> None:
    """Plan the stage `kind`, or do it in the folder `out`, and print what came of it; draw what it has of the figures.

    `show_results` prints the results for people; without it they are listed as they are.
    """
    results = done(kind, out, values, dry_run)
    if results is None:
        return
    section = drawn(kind, out) if kind in DRAWN and not dry_run else None
    if as_json or dry_run:
        show(results, as_json)
    elif section:
        show_blocks(section.blocks)
    elif show_results:
        show_results(results, out)
    else:
        show(results, as_json)


def drawn(kind: str, out: Path) -> Section:
    """Draw the page of the stage in `out`; return its section on what the stage found."""
    from paddock.report.page import sections_of, write_page
    from paddock.report.run_folder import read_run

    run = read_run(out)
    sections = sections_of(run)
    say(f"{out.name}: drawn in {write_page(run, sections)}")
    return next(section for section in sections if section.name == DRAWN[kind])


def done(kind: str, out: Path, values: dict[str, Any], dry_run: bool) -> dict[str, Any] | None:
    """The plan of the stage `kind`, or its results once it is done in `out`; None in all processes but the first."""
    stage = find_stage(kind)
    field, data = stage.settings.model_fields.get("data"), values.get("data")
    if field is not None and field.annotation is str and isinstance(data, list) and len(data) == 1:
        values = {**values, "data": data[0]}
    settings = parse(stage.settings, values, f"paddock {kind}")
    if dry_run:
        require_inputs(settings.inputs())
        return stage.plan(settings)
    with joined() as ranks, held(out, ranks):
        results = run_step(Step(out.name, kind, stage, settings, StageDir(out)), ranks)
    return results if is_first(ranks) else None


def gather(config: Path | None, assignments: list[str] | None, **options: Any) -> dict[str, Any]:
    """The settings from their three sources, the later over the earlier: `--config`, the named options, `--set`."""
    values = read_yaml_file(config, "file of settings") if config else {}
    return assign({**values, **{key: value for key, value in options.items() if value is not None}}, assignments or [])
