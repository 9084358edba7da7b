"""`paddock perplexity`, `paddock inspect`, `paddock convert`: look at a model, or write it in another form."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from paddock.cli.options import AsJson, show

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder, as transformers writes one.")]


class Dtype(StrEnum):
    """The number formats that weights are written in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def perplexity(
    model: ModelFolder,
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="Documents: files, folders, globs or hf:// data sets.")
    ],
    as_json: AsJson = False,
) -> None:
    """Score documents: tokens, loss (nats a token), perplexity, bits per byte."""
    from paddock.backends.local import open_local_model
    from paddock.evaluate.perplexity import perplexity as score
    from paddock.text.readers import read_documents

    documents = read_documents(files)
    opened = open_local_model(model)
    show(asdict(score(opened.model, opened.tokenizer, documents, ", ".join(files))), as_json)


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A preset (miniature, 7b, 13b, 34b, 70b) or a model's folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say how large a model is: shape, parameters, FLOPs a token, memory. No weights are loaded."""
    from paddock.model.size import describe_size

    show(describe_size(model), as_json)


def convert(
    model: ModelFolder,
    out: Annotated[Path, typer.Option("--out", help="The folder that receives the model.")],
    dtype: Annotated[Dtype, typer.Option("--dtype", help="The number format of the weights.")] = Dtype.bfloat16,
    shard_gigabytes: Annotated[
        float, typer.Option("--shard-gb", min=0.001, help="The largest file of weights, in GB.")
    ] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Write a model again in another number format or file size, its tokenizer beside it; a scalar head stays float32."""
    import torch

    from paddock.model.checkpoint import (
        CONFIG_FILE,
        is_reward_model,
        load_model,
        load_reward_model,
        save_model,
        save_reward_model,
    )
    from paddock.model.vocabulary import load_tokenizer
    from paddock.run_dir import model_folder, refuse_strangers
    from paddock.text.tokenizer import MODEL_FILE

    refuse_strangers(out, CONFIG_FILE)  # an earlier model may be replaced, nothing else
    tokenizer = load_tokenizer(model) if (model_folder(model) / MODEL_FILE).exists() else None
    form = tokenizer, getattr(torch, dtype.value), shard_gigabytes * 1e9
    if is_reward_model(model):
        save_reward_model(load_reward_model(model), out, *form)
    else:
        save_model(load_model(model), out, *form)
    files = sorted(path.name for path in out.iterdir())
    show({"out": str(out), "dtype": dtype.value, "files": files}, as_json)
