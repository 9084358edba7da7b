"""Pretraining (paper section 2): a model learns to continue documents.

Documents stand one after another, each between BOS and EOS, and are cut into rows of `context` tokens; every token is a
target, and attention runs across the documents of a row, as usual. AdamW, warm-up, a cosine to 10% of the peak, weight decay
and clipping are the paper's (section 2.2), in `train`. Its batch is 4M tokens: 1,024 rows of 4,096.

Departures: the paper names neither its mix of sources (give weights) nor validation data; here 1% of the documents, or files
of your own, are held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from paddock.errors import did_you_mean
from paddock.model.blueprint import Blueprint, fresh_model
from paddock.model.checkpoint import model_from, read_config
from paddock.model.config import PRESETS, ModelConfig, preset
from paddock.model.transformer import Transformer
from paddock.model.vocabulary import refuse_larger_tokenizer
from paddock.run_dir import StageDir
from paddock.stages.encoding import CorpusSettings, Rows, count_rows, encode_rows
from paddock.stages.training import finish, plan_figures
from paddock.text.chat_format import encode_documents
from paddock.text.packing import DocumentWindows, TokenStore
from paddock.text.readers import ReadReport, Source, read_documents
from paddock.text.tokenizer import Tokenizer
from paddock.train.loop import fit
from paddock.train.parallel import build, processes

PROMPT_TOKENS = 16
SHAPE_FIELDS = [field.name for field in fields(ModelConfig) if field.name != "vocab_size"]  # that is the tokenizer's


class PretrainSettings(CorpusSettings):
    """What a base model learns from, its shape, and how long it learns."""

    may_change: ClassVar[frozenset[str]] = CorpusSettings.may_change | {"samples"}

    tokenizer: str | None = Field(None, description="a tokenizer.model, or a folder with one; None: the model folder's")
    model: str = Field(description=f"a shape ({', '.join(PRESETS)}), or a model's folder to go on from")
    shape: dict[str, int | float | bool] = Field({}, description="changes to the shape, such as {dim: 256, n_layers: 6}")
    batch_size: int = Field(1024, ge=1, description="rows of a step, over all ranks (paper 2.2: 4M tokens)")
    learning_rate: float = Field(3e-4, gt=0, description="the peak (Table 1: 3e-4 for 7b and 13b, 1.5e-4 for 34b and 70b)")
    epochs: float | None = Field(None, gt=0, description="how often to see the data; None: once, unless steps or tokens say")
    steps: int | None = Field(None, ge=1, description="how many steps, in place of epochs")
    tokens: int | None = Field(None, ge=1, description="how many tokens, in place of epochs (paper 2.2: 2T)")
    samples: int = Field(4, ge=0, description="held-out documents that the model continues at the end, for a look")

    @model_validator(mode="after")
    def _one_length(self) -> PretrainSettings:
        given = [name for name in ("epochs", "steps", "tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say how long to train: give one")
        if self.model in PRESETS:
            if self.tokenizer is None:
                raise ValueError("a new model needs a tokenizer: `paddock tokenizer train` makes one")
            if unknown := [name for name in self.shape if name not in SHAPE_FIELDS]:
                known = did_you_mean(unknown[0], SHAPE_FIELDS) or f" Known: {', '.join(SHAPE_FIELDS)}."
                raise ValueError(f'shape has no field "{unknown[0]}".{known}')
            preset(self.model, **self.shape)
        elif self.shape:
            raise ValueError(
                f"shape changes a preset ({', '.join(PRESETS)}), and the model is a folder with a shape of its own"
            )
        return self

    def inputs(self) -> list[str]:
        """The documents, the tokenizer, and the model to go on from."""
        folders = [self.tokenizer, None if self.model in PRESETS else self.model]
        return [source.path for source in (*self.data, *self.validation)] + [path for path in folders if path]


def plan(settings: PretrainSettings) -> dict[str, Any]:
    """What would be read and done: rows, tokens, steps, parameters, memory, time."""
    tokenizer = load_tokenizer(settings)
    config = shape_of(settings, tokenizer)
    context = settings.context_for(config)
    counts = count_rows(
        document_rows(settings, tokenizer),
        lambda store: windows(store, settings, context).steps_per_epoch,
    )
    steps = steps_of(settings, counts["steps_per_epoch"], counts["loss_tokens"])
    return {**counts, **plan_figures(config, settings, steps, settings.batch_size, context)}


def run(settings: PretrainSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Encode, train, save the model, and let it continue a few held-out documents. Returns the figures of `results.json`."""
    with processes() as ranks:
        tokenizer = load_tokenizer(settings)
        rows = document_rows(settings, tokenizer)
        encoded = encode_rows(rows, stage_dir.data, ranks)
        model = build(initial_model(settings, tokenizer), settings, ranks)
        context = settings.context_for(model.config)
        train = windows(encoded.train, settings, context)
        validation = windows(encoded.validation, settings, context) if encoded.validation else None
        steps = steps_of(settings, train.steps_per_epoch, train.tokens_per_epoch)
        fitted = fit(model, train, settings, stage_dir, ranks, label="pretrain", steps=steps, validation=validation)
        prompts = [beginning_of(text, tokenizer) for text in islice(rows.held_out(), settings.samples)]
        finish(fitted, model.config, tokenizer, stage_dir, prompts)
        return {**fitted.results, "epochs": steps / train.steps_per_epoch, "data": encoded.figures}


def load_tokenizer(settings: PretrainSettings) -> Tokenizer:
    """The tokenizer of the settings, or of the model to go on from."""
    return Tokenizer.load(Path(settings.tokenizer or settings.model))


def document_rows(settings: PretrainSettings, tokenizer: Tokenizer) -> Rows[str, TokenStore]:
    """The documents: each is its own key."""

    def read(sources: tuple[Source, ...], report: ReadReport) -> Iterator[str]:
        return read_documents(sources, seed=settings.seed, on_bad_row=settings.on_bad_row, report=report)

    return Rows(
        data=settings.data,
        validation=settings.validation,
        validation_share=settings.validation_share,
        read=read,
        key=lambda text: text,
        size=lambda text: len(text.encode("utf-8", "surrogatepass")),
        write=lambda folder, texts: TokenStore.write(folder, encode_documents(tokenizer, texts), tokenizer.vocab_size),
        open=TokenStore.open,
    )


def shape_of(settings: PretrainSettings, tokenizer: Tokenizer) -> ModelConfig:
    """The shape of the model. Raises CheckpointError where a folder's vocabulary is smaller than the tokenizer's."""
    if settings.model in PRESETS:
        return preset(settings.model, **settings.shape, vocab_size=tokenizer.vocab_size)
    config = read_config(settings.model)
    refuse_larger_tokenizer(tokenizer, config, settings.model)
    return config


def initial_model(settings: PretrainSettings, tokenizer: Tokenizer) -> Blueprint[Transformer]:
    """Fresh weights from the seed, or those of the model to go on from, in float32."""
    config = shape_of(settings, tokenizer)
    return fresh_model(config, settings.seed) if settings.model in PRESETS else model_from(settings.model)


def windows(store: TokenStore, settings: PretrainSettings, context: int) -> DocumentWindows:
    """Batches of windows over the documents of a store."""
    return DocumentWindows(store, settings.batch_size, context, settings.seed)


def steps_of(settings: PretrainSettings, steps_per_epoch: int, tokens_per_epoch: int) -> int:
    """How many steps to train, by steps, tokens or epochs."""
    if settings.steps:
        return settings.steps
    epochs = settings.tokens / tokens_per_epoch if settings.tokens else settings.epochs or 1.0
    return max(round(epochs * steps_per_epoch), 1)


def beginning_of(text: str, tokenizer: Tokenizer) -> str:
    """The first few tokens of a document, for the model to go on from."""
    return tokenizer.decode(tokenizer.encode(text)[:PROMPT_TOKENS])
