"""Supervised fine-tuning (paper section 3.1): a pretrained model learns to answer.

Prompts and answers are put together until a row is full, and the loss is that of the answers alone. Two epochs, batches of
64 rows, a cosine from 2e-5, weight decay 0.1.

Departures: here attention stays within a dialog, so what a model learns of one does not depend on its neighbours in the row
(the paper does not say). The paper gives neither warm-up nor the end of the cosine: here 3% of the steps, and 10% of the
peak. It trains for two epochs; here the weights of the lowest validation loss on the way are kept (`keep: last` is the
paper's way).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, tee
from typing import Any, ClassVar, Literal

from pydantic import Field

from paddock.errors import DataError
from paddock.model.checkpoint import model_from, read_config
from paddock.model.vocabulary import load_tokenizer
from paddock.progress import say
from paddock.run_dir import StageDir
from paddock.stages.encoding import CorpusSettings, Rows, count_rows, dialog_rows, encode_rows
from paddock.stages.training import finish, plan_figures
from paddock.text.chat_format import Encoded, encode_dialogs
from paddock.text.dialog import Dialog
from paddock.text.packing import PackedDialogs, TokenStore
from paddock.text.readers import read_dialogs
from paddock.text.tokenizer import Tokenizer
from paddock.train.loop import fit
from paddock.train.parallel import build, processes


class SftSettings(CorpusSettings):
    """What a model learns to answer, and how long it learns."""

    may_change: ClassVar[frozenset[str]] = CorpusSettings.may_change | {"samples"}

    validation_share: float = Field(0.02, ge=0, lt=1, description="share of the dialogs held out, by a hash of their prompt")
    overlong: Literal["refuse", "truncate"] = Field(
        "refuse",
        description="stop at a dialog longer than context, or truncate and count it; one whose loss is last is left out",
    )
    model: str = Field(description="the folder of the model to fine-tune")
    batch_size: int = Field(64, ge=1, description="rows of a step, over all ranks (paper 3.1)")
    learning_rate: float = Field(2e-5, gt=0, description="the peak (paper 3.1)")
    epochs: float = Field(2.0, gt=0, description="how often to see the data (paper 3.1)")
    evaluate_every: int = Field(20, ge=1, description="steps between evaluations on the validation data")
    keep: Literal["best", "last"] = Field(
        "best", description="the weights to end with: of the lowest validation loss, or the last"
    )
    samples: int = Field(8, ge=0, description="held-out prompts that the model answers at the end, for a look")

    def inputs(self) -> list[str]:
        """The dialogs, and the model to fine-tune."""
        return [source.path for source in (*self.data, *self.validation)] + [self.model]


def plan(settings: SftSettings) -> dict[str, Any]:
    """What would be read and done: rows, tokens, steps, parameters, memory, time."""
    tokenizer, config = load_tokenizer(settings.model), read_config(settings.model)
    context = settings.context_for(config)
    counts = count_rows(
        rows_of(settings, tokenizer, context),
        lambda store: packed(store, settings, context).steps_per_epoch,
    )
    steps = steps_of(settings, counts["steps_per_epoch"])
    return {**counts, **plan_figures(config, settings, steps, settings.batch_size, context)}


def run(settings: SftSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Encode, train, save the model, and let it answer a few held-out prompts. Returns the figures of `results.json`."""
    with processes() as ranks:
        tokenizer = load_tokenizer(settings.model)
        context = settings.context_for(read_config(settings.model))
        rows = rows_of(settings, tokenizer, context)
        encoded = encode_rows(rows, stage_dir.data, ranks)
        model = build(model_from(settings.model), settings, ranks)
        train = packed(encoded.train, settings, context)
        validation = packed(encoded.validation, settings, context) if encoded.validation else None
        if train.left_out and ranks.is_first:
            say(f"data: {train.left_out:,} dialogs bear no loss within {context:,} tokens: left out")
        steps = steps_of(settings, train.steps_per_epoch)
        fitted = fit(model, train, settings, stage_dir, ranks, label="sft", steps=steps, validation=validation)
        prompts = [prompt_of(dialog) for dialog in islice(rows.held_out(), settings.samples)]
        finish(fitted, model.config, tokenizer, stage_dir, prompts)
        packing = {"truncated": train.truncated, "left_out": train.left_out, "fill": train.fill}
        return {**fitted.results, "epochs": steps / train.steps_per_epoch, "data": {**encoded.figures, **packing}}


def rows_of(settings: SftSettings, tokenizer: Tokenizer, context: int) -> Rows[Dialog, TokenStore]:
    """The dialogs to learn from and to judge by."""
    return dialog_rows(
        settings,
        read_dialogs,
        lambda dialogs: encode_within(tokenizer, dialogs, context + 1, settings.overlong),
        tokenizer.vocab_size,
    )


def encode_within(
    tokenizer: Tokenizer, dialogs: Iterable[Dialog], limit: int, overlong: Literal["refuse", "truncate"]
) -> Iterator[Encoded]:
    """`encode_dialog` of each dialog, in order. One of more than `limit` tokens raises DataError, naming the row, or is to
    be truncated: then no token of it bears loss where its `loss` is "last", whose answer is learnt whole or not at all.
    """
    dialogs, again = tee(dialogs)
    for dialog, encoded in zip(dialogs, encode_dialogs(tokenizer, again), strict=True):
        too_long = len(encoded.ids) > limit
        if too_long and overlong == "refuse":
            raise DataError(
                dialog.source,
                f"the dialog has {len(encoded.ids):,} tokens, and {limit:,} is the most at context {limit - 1:,}",
                mend="Raise context, or set overlong: truncate to cut such dialogs at their end and count them",
            )
        yield Encoded(encoded.ids, [False] * len(encoded.ids)) if too_long and dialog.loss == "last" else encoded


def prompt_of(dialog: Dialog) -> Dialog:
    """The dialog without its last answer."""
    return replace(dialog, messages=dialog.messages[:-1])


def packed(store: TokenStore, settings: SftSettings, context: int) -> PackedDialogs:
    """Batches of whole dialogs."""
    return PackedDialogs(store, settings.batch_size, context, settings.seed)


def steps_of(settings: SftSettings, steps_per_epoch: int) -> int:
    """How many steps to train."""
    return max(round(settings.epochs * steps_per_epoch), 1)
