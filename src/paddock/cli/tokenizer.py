"""`paddock tokenizer train` and `paddock tokenizer show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from paddock.cli.options import AsJson
from paddock.cli.stage import command
from paddock.text.chat_format import ShownToken, show_dialog
from paddock.text.readers import read_conversations
from paddock.text.tokenizer import Tokenizer

app = typer.Typer(help="Train a tokenizer, or see what a model sees.", no_args_is_help=True)

LOSS_STYLE, CONTEXT_STYLE = "black on green", "dim"

TokenizerFile = Annotated[Path, typer.Option("--model", help="A tokenizer.model, or a folder that holds one.")]
Dialogs = Annotated[list[str], typer.Option("--data", help="Dialogs or prompts: a file, folder or glob; may be repeated.")]


TRAIN = "Train a SentencePiece tokenizer with the paper's settings (section 2.2)."
app.command("train")(command("tokenizer", TRAIN, without=("model",)))


@app.command("show")
def show(model: TokenizerFile, data: Dialogs, as_json: AsJson = False) -> None:
    """Show dialogs as the model sees them: a token a cell, green where it bears loss. With --json, ids and loss mask."""
    tokenizer = Tokenizer.load(model)
    console = Console()
    for dialog in read_conversations(data):
        tokens = show_dialog(tokenizer, dialog)
        if as_json:
            print(json.dumps({"ids": [t.id for t in tokens], "loss_mask": [int(t.bears_loss) for t in tokens]}))
        else:
            console.print(_coloured(tokens), soft_wrap=False)
            bearing = sum(token.bears_loss for token in tokens)
            console.print(f"{len(tokens)} tokens, {bearing} bear loss\n", style="italic")


def _coloured(tokens: list[ShownToken]) -> Text:
    """Tokens side by side. Without colours, those that bear loss stand in braces."""
    line = Text()
    for token in tokens:
        piece = "⏎" if token.piece == "<0x0A>" else token.piece
        line.append(f"{{{piece}}}" if token.bears_loss else piece, LOSS_STYLE if token.bears_loss else CONTEXT_STYLE)
        line.append(" ")
    return line
