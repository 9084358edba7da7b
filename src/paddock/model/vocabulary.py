"""A model and its tokenizer: every id that the one may give, the other has a row for.

A model may have more rows than its tokenizer has ids, as where an embedding is filled up to a round number: no text encodes
to what is beyond, and sampling never draws it (`sampling.choose`).
"""

from __future__ import annotations

from pathlib import Path

from paddock.errors import CheckpointError
from paddock.model.checkpoint import read_any_config
from paddock.model.config import ModelConfig
from paddock.text.tokenizer import Tokenizer


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """The tokenizer beside the model in `folder`, a reward model's too. Raises CheckpointError where they do not fit."""
    tokenizer = Tokenizer.load(Path(folder))
    refuse_larger_tokenizer(tokenizer, read_any_config(folder), folder)
    return tokenizer


def refuse_larger_tokenizer(tokenizer: Tokenizer, config: ModelConfig, folder: Path | str) -> None:
    """Raise CheckpointError where `tokenizer` has ids that the model in `folder`, of the shape `config`, has no row for."""
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} ids, and the model {config.vocab_size:,}: they do not "
            "belong together. Put the tokenizer that the model was trained with beside it"
        )
