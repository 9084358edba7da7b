"""The settings that every training stage shares."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from paddock.settings import StageSettings


class TrainingSettings(StageSettings):
    """How to train, whatever the loss (paper section 2.2). AdamW's betas (0.9, 0.95) and epsilon (1e-5) are fixed.

    What else might seem to change nothing does: micro-batches, compiling and activation checkpointing change the last bits
    of the weights, and the steps at which the validation data are looked at change which weights are the best.
    """

    may_change: ClassVar[frozenset[str]] = frozenset({"watts"})
    passing: ClassVar[frozenset[str]] = frozenset({"log_every", "save_every", "keep_saves", "tensorboard"})

    batch_size: int = Field(ge=1, description="rows of a step, over all ranks")
    micro_batch_size: int | None = Field(
        None, ge=1, description="rows at once on a device, at most; None: 16,384 tokens. The loss does not depend on it"
    )
    learning_rate: float = Field(gt=0, description="the peak")
    warmup_steps: int | None = Field(
        None, ge=0, description="steps over which the learning rate rises; None: 2,000 (paper 2.2), and at most 3% of all"
    )
    final_learning_rate: float = Field(
        0.1, ge=0, le=1, description="where the cosine ends, as a share of the peak (paper 2.2: 10%)"
    )
    weight_decay: float = Field(0.1, ge=0, description="on matrices alone (paper 2.2)")
    clip: float = Field(1.0, gt=0, description="the gradient's norm at most (paper 2.2)")
    precision: Literal["auto", "f32", "bf16"] = Field(
        "auto", description="what matrices are multiplied in; auto: bf16 where the processor has it; weights stay f32"
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where a C++ compiler is at hand and the run is long enough to repay it"
    )
    activation_checkpointing: bool = Field(False, description="compute activations twice, to hold one block's at a time")
    log_every: int = Field(10, ge=1, description="steps between rows of metrics.jsonl")
    evaluate_every: int = Field(100, ge=1, description="steps between evaluations on the validation data")
    save_every: int = Field(200, ge=1, description="steps between saves for resuming")
    keep_saves: int = Field(2, ge=1, description="saves that stay, beside that of the best step")
    keep: Literal["best", "last"] = Field(
        "last", description="the weights that the stage ends with: of the lowest validation loss, or of the last step"
    )
    patience: int | None = Field(
        None, ge=1, description="evaluations without a new best before the run ends early; None: never"
    )
    tensorboard: bool = Field(False, description="also write the metrics for TensorBoard (extra `tensorboard`)")
    watts: float | None = Field(
        None, gt=0, description="power of a device in watts, for Table 2; None: read, or else assumed"
    )
    seed: int = Field(0, ge=0, description="of the initial weights and of the order of rows")

    @model_validator(mode="after")
    def _possible(self) -> TrainingSettings:
        if self.patience and self.keep == "last":
            raise ValueError("patience waits for a better step, so it needs keep: best")
        return self
