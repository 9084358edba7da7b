"""`paddock benchmark truthfulqa|toxigen|bold|false-refusal`: one benchmark of any chat model; `lm-eval` exports them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from paddock.cli.options import AsJson, Config, DryRun, Out, Seed, Set, show, show_blocks
from paddock.cli.stage import gather, run_stage

app = typer.Typer(help="Measure a model on a safety benchmark, beside the paper's figures.", no_args_is_help=True)

OF_THE_STAGE = ("model", "seed", "tries")

SpecOfModel = Annotated[
    str | None, typer.Option("--model", help="The model: a folder, a file of ready replies, or a YAML file.")
]
Published = Annotated[str | None, typer.Option("--data", help="The published data: a file, a folder, or hf://owner/name.")]
Chat = Annotated[
    bool | None,
    typer.Option(
        "--chat/--text",
        help="Ask in the chat format, or as text to continue.",
        show_default="--text; false-refusal: --chat",
    ),
]

COMMANDS = {
    "truthfulqa": "TruthfulQA: answers that are true, and that inform; MC1 and MC2 (paper tables 11, 14 and 44).",
    "toxigen": "ToxiGen: continuations that are toxic, by group (paper tables 11, 14 and 45).",
    "bold": "BOLD: the sentiment with which people and ideas are written about (paper tables 46 to 50).",
    "false-refusal": "XSTest and a borderline set: harmless prompts that are refused (paper section 4.2.3).",
}


def command(name: str) -> Callable[..., None]:
    """The command of one benchmark."""
    key = name.replace("-", "_")

    def run(
        out: Out,
        model: SpecOfModel = None,
        data: Published = None,
        chat: Chat = None,
        seed: Seed = None,
        config: Config = None,
        set_: Set = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        words = [f"{key}.data={data}"] if data is not None else []
        words += [f"{key}.chat={str(chat).lower()}"] if chat is not None else []
        words += [word if word.partition("=")[0] in OF_THE_STAGE else f"{key}.{word}" for word in set_ or []]
        run_stage("benchmark", out, gather(config, words, model=model, seed=seed), dry_run, as_json, show_results)

    run.__doc__ = COMMANDS[name]
    return run


def show_results(results: dict[str, Any], out: Path) -> None:
    """Print the figures in the paper's tables, and the protocol below them."""
    from paddock.report.benchmarks import tables_of

    show_blocks(tables_of({out.name: results["benchmarks"]}))
    for benchmark, its in results["benchmarks"].items():
        files = [f"{path} {digest}" for path, digest in its["protocol"]["data"].items()]  # as texts: paths keep their "_"
        show({f"{benchmark}_protocol": {**its["protocol"], "data": files}}, as_json=False)


def lm_eval(out: Out, seed: Seed = None, config: Config = None, set_: Set = None, as_json: AsJson = False) -> None:
    """Write the benchmarks as tasks for lm-evaluation-harness; --config has their settings, as a recipe's stage has them."""
    from paddock.run_dir import refuse_strangers
    from paddock.safety.benchmarks.harness import SETTINGS_FILE, export
    from paddock.settings import parse
    from paddock.stages.benchmark import BenchmarkSettings

    refuse_strangers(out, SETTINGS_FILE)
    values = gather(config, set_, seed=seed)
    settings = parse(BenchmarkSettings, {"model": "the harness' own", **values}, "paddock benchmark lm-eval")
    tasks = dict(zip(settings.chosen().values(), export(settings.chosen(), out, settings.seed), strict=True))
    text, chat = ([task for its, task in tasks.items() if its.chat is wanted] for wanted in (False, True))
    show({"tasks": list(tasks.values()), **_commands(out, text, chat)}, as_json)


def _commands(out: Path, text: list[str], chat: list[str]) -> dict[str, str]:
    """What runs the tasks; those that ask in the chat format apart, since the harness has one way for all."""
    asked = (("command", text, ""), ("chat_command", chat, " --apply_chat_template"))
    return {
        name: f"lm_eval --include_path {out} --tasks {','.join(tasks)}{option} --model ..."
        for name, tasks, option in asked
        if tasks
    }


for command_name in COMMANDS:
    app.command(command_name)(command(command_name))
app.command("lm-eval")(lm_eval)
