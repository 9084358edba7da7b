"""What names a chat model or a scorer: a model folder, a `.jsonl` of ready replies, or the fields of a YAML file.

    kind: openai                            # or local, transformers, vllm, replies
    base_url: http://localhost:8000/v1
    model: falcon-40b-instruct
    api_key_env: FALCON_KEY                 # the environment variable that holds the key
    system_prompt: You are Falcon.
    sampling: {temperature: 0.7, top_p: 0.9, max_new_tokens: 1000}

Paths are as the command line's: from the folder in which Paddock was started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from paddock.errors import SettingsError, did_you_mean
from paddock.protocols import Sampling
from paddock.settings import StageSettings, parse, read_yaml_file

YAML_ENDINGS = (".yaml", ".yml")
REPLIES_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")

Spec = Path | str | Mapping[str, Any]
"""A folder or a file by its path, or a YAML file's fields."""


class SamplingSettings(StageSettings):
    """How a model is sampled, whoever asks; what is left out is the caller's."""

    temperature: float | None = Field(default=None, ge=0, description="0 is greedy")
    top_p: float | None = Field(default=None, gt=0, le=1, description="the share of probability to sample from")
    top_k: int | None = Field(default=None, ge=0, description="the tokens to sample from; 0: all")
    max_new_tokens: int | None = Field(default=None, ge=1, description="tokens of a completion, at most")
    stop: tuple[str, ...] | None = Field(default=None, description="strings that end a completion")

    def over(self, sampling: Sampling) -> Sampling:
        """The caller's sampling, changed where these settings say so."""
        return replace(sampling, **self.model_dump(exclude_none=True))


class Prices(StageSettings):
    """What an endpoint charges, in any one currency, for a million tokens."""

    read: float = Field(ge=0, description="of a prompt")
    written: float = Field(ge=0, description="of a completion")

    def of(self, tokens_read: int, tokens_written: int) -> float:
        """The price of so many tokens."""
        return (self.read * tokens_read + self.written * tokens_written) / 1e6


class LocalSpec(StageSettings):
    """A model that Paddock runs: a chat model's folder or a reward model's."""

    kind: Literal["local"] = "local"
    model: str = Field(description="the model's folder")
    system_prompt: str | None = Field(default=None, description="the system message of dialogs that have none")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="how it is sampled, whoever asks")

    def inputs(self) -> list[str]:
        """The folder."""
        return [self.model]


class TransformersSpec(StageSettings):
    """A model that transformers runs (extra `hf`): a causal language model, or as a scorer a sequence classifier."""

    kind: Literal["transformers"]
    model: str = Field(description="a folder or a name on the hub")
    batch_size: int = Field(16, ge=1, description="completions at a time")
    label: str | None = Field(default=None, description="of a classifier: the label whose probability is the score")
    system_prompt: str | None = Field(default=None, description="the system message of dialogs that have none")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="how it is sampled, whoever asks")

    def inputs(self) -> list[str]:
        """The folder, where it is one."""
        return [self.model] if Path(self.model).exists() else []


class EndpointSpec(StageSettings):
    """An OpenAI-compatible endpoint: chat completions for dialogs, plain ones for text."""

    kind: Literal["openai"]
    base_url: str = Field(description="such as http://localhost:8000/v1")
    model: str = Field(description="the name by which the endpoint knows the model")
    api_key_env: str | None = Field(
        default=None, description="the environment variable that holds the key; None: no key is sent"
    )
    timeout: float = Field(120.0, gt=0, description="seconds to wait for an answer")
    tries: int = Field(6, ge=1, description="requests for a completion before it counts as failed")
    concurrency: int = Field(8, ge=1, description="requests at a time")
    body: dict[str, Any] = Field(default_factory=dict, description="further fields of a request; null leaves one out")
    prices: Prices | None = Field(default=None, description="for a million tokens; None: money is not counted")
    system_prompt: str | None = Field(default=None, description="the system message of dialogs that have none")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="how it is sampled, whoever asks")

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("an address begins with http:// or https://")
        return value.rstrip("/")


class VllmSpec(StageSettings):
    """A model that vLLM's offline engine runs (extra `vllm`)."""

    kind: Literal["vllm"]
    model: str = Field(description="a folder or a name on the hub")
    devices: int = Field(1, ge=1, description="over which the model is split (tensor parallel)")
    system_prompt: str | None = Field(default=None, description="the system message of dialogs that have none")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="how it is sampled, whoever asks")

    def inputs(self) -> list[str]:
        """The folder, where it is one."""
        return [self.model] if Path(self.model).exists() else []


class RepliesSpec(StageSettings):
    """A file of ready replies, which are looked up by their prompts."""

    kind: Literal["replies"] = "replies"
    replies: str = Field(description="the file, one JSON object a line")

    def inputs(self) -> list[str]:
        """The file."""
        return [self.replies]


ModelSpec = LocalSpec | TransformersSpec | EndpointSpec | VllmSpec | RepliesSpec
KINDS: dict[str, type[ModelSpec]] = {
    "local": LocalSpec,
    "transformers": TransformersSpec,
    "openai": EndpointSpec,
    "vllm": VllmSpec,
    "replies": RepliesSpec,
}


def read_spec(spec: Spec, where: str = "a model") -> ModelSpec:
    """What `spec` says, checked; `where` names it in an error about its fields. Raises SettingsError, DataError."""
    if isinstance(spec, Mapping):
        return _of_fields(spec, where)
    path = str(spec)
    if path.endswith(REPLIES_ENDINGS):
        return RepliesSpec(replies=path)
    if not path.endswith(YAML_ENDINGS):
        return LocalSpec(model=path)
    return _of_fields(read_yaml_file(path, "specification of a model"), path)


def spec_inputs(spec: Spec) -> list[str]:
    """What opening `spec` reads: its YAML file, and the folder or file that it names."""
    file = [str(spec)] if not isinstance(spec, Mapping) and str(spec).endswith(YAML_ENDINGS) else []
    return [*file, *read_spec(spec).inputs()]


def _of_fields(fields: Mapping[str, Any], where: str) -> ModelSpec:
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        said = "says no kind" if kind is None else f'says kind "{kind}"'
        raise SettingsError(f"{where} {said}: one of {', '.join(KINDS)} is known.{did_you_mean(str(kind), KINDS)}")
    return parse(KINDS[kind], fields, where)
