"""`paddock`: the command line. Each command parses its words, calls one function, prints its result."""

from __future__ import annotations

import sys

import typer

from paddock.cli import (
    benchmark,
    chat,
    corpus,
    evaluate,
    judge,
    model,
    recipe,
    red_team,
    reward_progress,
    stage,
    studio,
    tokenizer,
)
from paddock.errors import PaddockError

INTERRUPTED = 130

app = typer.Typer(
    name="paddock",
    help="Raise a chat model the Llama 2 way: from raw text to a trained, aligned and measured chat model.",
    epilog="Start here: paddock run recipes/miniature.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run", rich_help_panel="Recipes")(recipe.run)
app.command("status", rich_help_panel="Recipes")(recipe.status)
app.add_typer(corpus.app, name="corpus", rich_help_panel="Stages")
app.add_typer(tokenizer.app, name="tokenizer", rich_help_panel="Stages")
app.command("world", rich_help_panel="Stages")(stage.command("world", stage.WORLD, without=("model", "data")))
for kind, about in stage.COMMANDS.items():
    app.command(kind, rich_help_panel="Stages")(stage.command(kind, about, stage.LACKING.get(kind, ())))
app.command("red-team", rich_help_panel="Stages")(red_team.red_team)
app.add_typer(benchmark.app, name="benchmark", rich_help_panel="Models")
app.command("chat", rich_help_panel="Models")(chat.chat)
app.command("perplexity", rich_help_panel="Models")(model.perplexity)
app.command("inspect", rich_help_panel="Models")(model.inspect)
app.command("convert", rich_help_panel="Models")(model.convert)
app.command("agreement", rich_help_panel="Ratings")(evaluate.agreement)
app.command("compare", rich_help_panel="Ratings")(evaluate.compare)
app.command("judge", rich_help_panel="Ratings")(judge.judge)
app.command("reward-curve", rich_help_panel="Ratings")(reward_progress.reward_curve)
app.command("reward-human", rich_help_panel="Ratings")(stage.command("reward-human", stage.REWARD_HUMAN, without=("model",)))
app.add_typer(studio.app, name="studio", rich_help_panel="Ratings")
app.command("report", rich_help_panel="Recipes")(recipe.report)


def main() -> None:
    """Run the command line: 2 for a user's mistake, with no traceback; 1 for a defect; 130 when interrupted."""
    try:
        app()
    except PaddockError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has turned Ctrl-C into this
            print("interrupted; a stage goes on where its last save stands when the command is given again", file=sys.stderr)
        raise
