"""The settings of PPO (paper section 3.2.3), and what a dry run says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from paddock.backends.local import best_device, scoring_dtype
from paddock.errors import SettingsError
from paddock.model.checkpoint import read_config
from paddock.model.config import ModelConfig
from paddock.model.size import count_parameters
from paddock.stages.encoding import CorpusSettings, count_rows
from paddock.stages.prompts import prompt_rows
from paddock.stages.rewards import refuse_shorter_context, shared_tokenizer
from paddock.stages.training import FLOAT_BYTES, STATE_BYTES
from paddock.text.readers import Sources
from paddock.train.precision import choose_precision, estimate_seconds

# A token is sampled, scored, and read by policy, reference and value model (two operations a parameter each, and two reward
# models), before two models train on it (six each): about four times what training one model takes.
TRAININGS_WORTH = 4


class PpoSettings(CorpusSettings):
    """What a policy learns from, how it samples, and how it is updated. Steps are iterations."""

    may_change: ClassVar[frozenset[str]] = CorpusSettings.may_change | {"samples"}

    data: Sources = Field(min_length=1, description="prompts; those of domain safety are the paper's IS_SAFETY")
    validation: Sources = Field((), description="prompts to judge by; none: a share of the data is held out")
    validation_share: float = Field(0.02, ge=0, lt=1, description="share of the prompts held out, by a hash of their text")
    context: int | None = Field(None, ge=2, description="tokens of a prompt and its reply; None: the model's context")
    model: str = Field(description="the folder of the policy to start from; it is also the reference, pi_0")
    helpfulness_reward: str = Field(description="the folder of the helpfulness reward model")
    safety_reward: str | None = Field(None, description="the folder of the safety reward model; None: helpfulness alone")
    unseen_reward: str | None = Field(
        None, description="a reward model that PPO never sees: it scores the held-out replies, to show over-optimisation"
    )
    value_model: str | None = Field(
        None, description="what the value model starts from, a reward or a chat model; None: helpfulness_reward"
    )
    iterations: int = Field(400, ge=1, description="at most (paper 4: between 200 and 400)")
    batch_size: int = Field(512, ge=1, description="prompts of an iteration, over all ranks (paper 3.2.3)")
    mini_batch_size: int = Field(64, ge=1, description="replies of a gradient step, over all ranks (paper 3.2.3)")
    epochs: int = Field(1, ge=1, description="passes over an iteration's replies (paper 3.2.3: one step a mini-batch)")
    temperature: float = Field(1.0, gt=0, description="of sampling, and of every log-probability")
    max_new_tokens: int = Field(256, ge=1, description="tokens of a reply at most")
    kl_coef: float = Field(0.01, ge=0, description="beta (paper 3.2.3: 0.01 for 7B and 13B, 0.005 for 34B and 70B)")
    clip_range: float = Field(0.2, gt=0, description="of the ratio of probabilities (paper 3.2.3)")
    value_clip_range: float | None = Field(
        0.2, gt=0, description="how far a value may move in an iteration; None: no clipping"
    )
    gamma: float = Field(1.0, gt=0, le=1, description="discount of a token")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="of generalized advantage estimation")
    shift_reward_mean: bool = Field(
        True, description="whitening takes the batch's mean off the rewards; else it only scales"
    )
    missing_eos_penalty: float = Field(
        1.0, ge=0, description="off the whitened reward, in standard deviations, of a reply that its limit cut short"
    )
    learning_rate: float = Field(1e-6, gt=0, description="the policy's (paper 3.2.3)")
    value_learning_rate: float = Field(1e-5, gt=0, description="the value model's")
    value_warmup: int = Field(5, ge=0, description="iterations in which the value model learns alone, unclipped")
    warmup_steps: int = Field(0, ge=0, description="iterations over which both learning rates rise")
    final_learning_rate: float = Field(
        1.0, ge=0, le=1, description="where both rates end, as a share (paper 3.2.3: constant)"
    )
    compile: Literal["off"] = Field("off", description="rows have other shapes in every step, so nothing is compiled")
    shared_layers: int = Field(
        0, ge=0, description="lowest layers, with the embedding, that policy, reference and value model share, frozen"
    )
    samples: int = Field(8, ge=0, description="held-out prompts whose last replies are kept, for a look")
    log_every: int = Field(1, ge=1, description="iterations between rows of metrics.jsonl")
    evaluate_every: int = Field(10, ge=1, description="iterations between evaluations on held-out prompts")
    save_every: int = Field(10, ge=1, description="iterations between saves for resuming")
    keep: Literal["best", "last"] = Field(
        "best", description="the weights to end with: of the best penalised_reward on held-out prompts, or last"
    )
    patience: int | None = Field(
        5,
        ge=1,
        description="evaluations without a better one before the run ends, those of value_warmup not counted; None: never",
    )

    @model_validator(mode="before")
    @classmethod
    def _impatient_for_the_best_alone(cls, values: Any) -> Any:
        """The default patience waits for a better step, which `keep: last` does not look for."""
        return {"patience": None, **values} if isinstance(values, dict) and values.get("keep") == "last" else values

    @model_validator(mode="after")
    def _divides(self) -> PpoSettings:
        if self.batch_size % self.mini_batch_size:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of mini_batch_size {self.mini_batch_size}")
        return self

    def inputs(self) -> list[str]:
        """The prompts, and every model."""
        sources = (*self.data, *self.validation)
        return list(dict.fromkeys([*(source.path for source in sources), self.model, *self.other_models()]))

    def other_models(self) -> Iterator[str]:
        """The folders of the models that read what the policy samples."""
        folders = (self.helpfulness_reward, self.safety_reward, self.unseen_reward, self.value_model)
        return (folder for folder in folders if folder)


def plan(settings: PpoSettings) -> dict[str, Any]:
    """What would be read and done: prompts, iterations, steps, and estimates of one device's memory and time."""
    config, tokenizer = policy_config(settings), shared_tokenizer(settings.model, *settings.other_models())
    counts = count_rows(prompt_rows(settings, tokenizer), lambda store: -(-store.summary.sequences // settings.batch_size))
    parameters = count_parameters(config)["total"]
    sequence_tokens = counts["tokens"] / counts["rows"] + settings.max_new_tokens
    tokens = settings.iterations * settings.batch_size * sequence_tokens
    device = best_device()
    scorers = 1 + sum(folder is not None for folder in (settings.safety_reward, settings.unseen_reward))
    copies = 0 if device.type == "cpu" else 1  # of the policy, to sample from
    forward = scorers * scoring_dtype(device).itemsize + copies * choose_precision(settings.precision, device).itemsize
    return {
        **counts,
        "iterations": settings.iterations,
        "steps": settings.iterations * settings.epochs * settings.batch_size // settings.mini_batch_size,
        "parameters": parameters,
        "memory_bytes": parameters * (2 * STATE_BYTES + FLOAT_BYTES + forward),
        "estimated_seconds": estimate_seconds(TRAININGS_WORTH * parameters, int(tokens), device, 1),
    }


def policy_config(settings: PpoSettings) -> ModelConfig:
    """The policy's shape. Raises SettingsError where a model that reads what it samples has too short a context."""
    config = read_config(settings.model)
    refuse_shorter_context(settings.model, *settings.other_models(), context=settings.context_for(config))
    return config


def longest_prompt(settings: PpoSettings, config: ModelConfig) -> int:
    """How many ids a prompt may have. Raises SettingsError where a reply alone would fill the context."""
    longest = settings.context_for(config) - settings.max_new_tokens
    if longest < 1:
        raise SettingsError(f"max_new_tokens {settings.max_new_tokens} leaves no room for a prompt in the context")
    return longest
