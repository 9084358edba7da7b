"""Settings of the benchmarks, light: what each reads, how the model is asked, and who judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from paddock.backends.spec import Spec, spec_inputs
from paddock.protocols import Prompt, Sampling
from paddock.text.dialog import Dialog, Message

OWN = "paddock"
AI2_JUDGES = ("allenai/truthfulqa-truth-judge-llama2-7B", "allenai/truthfulqa-info-judge-llama2-7B")
"""The published open replacements of the paper's judges, by their names on the hub."""


def judge_spec(judge: str | dict[str, Any]) -> Spec:
    """What opens a judge: AI2's by name, through transformers; any other as chat models are named."""
    return {"kind": "transformers", "model": judge} if judge in AI2_JUDGES else judge


class GenerationSettings(BaseModel):
    """How a model is asked: the paper's decoding, and as much of the data as is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    data: str = Field(description="the published data: a file, a folder, or hf://owner/name")
    chat: bool = Field(False, description="ask in the chat format, as chat models are; else as plain text to continue")
    temperature: float = Field(0.1, ge=0, description="paper appendix A.4.7; 0 is greedy")
    top_p: float = Field(0.9, gt=0, le=1, description="paper appendix A.4.7")
    max_new_tokens: int = Field(128, ge=1, description="tokens of an answer at most; the paper gives no number")
    limit: int | None = Field(None, ge=1, description="a random sample of so many prompts; None: all")

    def prompt(self, text: str) -> Prompt:
        """A text as the model is asked it: a user's message, or plain text to continue."""
        return Dialog((Message("user", text),)) if self.chat else text

    def sampling(self, seed: int, stop: tuple[str, ...] = ()) -> Sampling:
        """One answer a prompt."""
        return Sampling(1, self.temperature, self.top_p, max_new_tokens=self.max_new_tokens, stop=stop, seed=seed)

    def files(self) -> list[str]:
        """The files and folders that are read, whose hashes stand beside the figures."""
        return [self.data]

    def inputs(self) -> list[str]:
        """All that is read: files, and the models that judge."""
        return self.files()


class TruthfulqaSettings(GenerationSettings):
    """TruthfulQA: few-shot answers with a pair of judges, and multiple choice."""

    primer: str | None = Field(
        None, description="YAML with instruction and pairs of question and answer; None: the standard primer"
    )
    multiple_choice: bool = Field(True, description="MC1 and MC2 too, by the model's probabilities of the published answers")
    truth_judge: str | dict[str, Any] | None = Field(
        None, description="a chat model that judges truth, such as allenai/truthfulqa-truth-judge-llama2-7B"
    )
    info_judge: str | dict[str, Any] | None = Field(
        None, description="one that judges whether an answer informs: allenai/truthfulqa-info-judge-llama2-7B"
    )
    judge_form: Literal["completion", "question"] = Field(
        "completion", description="how judges are asked: as the fine-tuned ones (Q, A, True:), or any chat model, in words"
    )
    truth_labels: str | None = Field(
        None, description="instead of a judge: published labels (finetune_truth.jsonl) to train the linear stand-in on"
    )
    info_labels: str | None = Field(None, description="the same for informing (finetune_info.jsonl)")

    @model_validator(mode="after")
    def _judged_in_one_way(self) -> TruthfulqaSettings:
        judges = [self.truth_judge, self.info_judge]
        labels = [self.truth_labels, self.info_labels]
        if any(judges) and any(labels):
            raise ValueError("either judges judge or labels train the stand-in: give one pair")
        if any(judges) != all(judges) or any(labels) != all(labels):
            raise ValueError("truth and information are judged by a pair: give both judges, or both files of labels")
        if not any(judges) and not any(labels) and not self.multiple_choice:
            raise ValueError("nothing would be measured: give judges or labels, or multiple_choice: true")
        return self

    @property
    def is_judged(self) -> bool:
        """Whether answers are generated and judged."""
        return bool(self.truth_judge or self.truth_labels)

    def files(self) -> list[str]:
        """Data, primer, and the labels."""
        return [self.data, *present(self.primer, self.truth_labels, self.info_labels)]

    def inputs(self) -> list[str]:
        """The judges too."""
        judges = [judge_spec(judge) for judge in (self.truth_judge, self.info_judge) if judge]
        return [*self.files(), *(path for judge in judges for path in spec_inputs(judge))]


class ToxigenSettings(GenerationSettings):
    """ToxiGen: the share of continuations that a classifier calls toxic."""

    classifier: str | None = Field(
        None, description="a folder of `paddock corpus train-toxicity`, or a transformers model: tomh/toxigen_roberta"
    )
    classifier_data: str | None = Field(
        None, description="instead: a CSV of text and label (1: toxic) to train the linear stand-in on"
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="a continuation is toxic from this probability on")

    @model_validator(mode="after")
    def _one_classifier(self) -> ToxigenSettings:
        if (self.classifier is None) == (self.classifier_data is None):
            raise ValueError("give either classifier, or classifier_data to train one on")
        return self

    def files(self) -> list[str]:
        """Data and classifier."""
        named = [self.classifier] if self.classifier and Path(self.classifier).exists() else []  # else a hub's
        return [self.data, *present(self.classifier_data), *named]


class BoldSettings(GenerationSettings):
    """BOLD: the sentiment of prompts with their continuations."""

    leave_out: tuple[str, ...] = Field(
        ("hinduism", "atheism"), description="groups that are not reported: the paper leaves these two out, as too small"
    )


class FalseRefusalSettings(GenerationSettings):
    """False refusal: the share of harmless prompts that are refused."""

    chat: bool = Field(True, description="ask in the chat format; refusal is a matter of chat models")
    temperature: float = Field(0.1, ge=0, description="0 is greedy")
    borderline: str | None = Field(
        OWN,
        description="a further set of harmless prompts that look harmful: prompts, or {instructions: [...]}; paddock: "
        "the 210 that come with it; None: no further set",
    )
    calibration: str = Field(
        description="answers with people's labels, as XSTest's model_completions: the refusal detector learns from them"
    )

    def files(self) -> list[str]:
        """Both sets, and what the detector learns from."""
        return [self.data, *([] if self.borderline == OWN else present(self.borderline)), self.calibration]


def present(*paths: str | None) -> list[str]:
    """Those paths that are given."""
    return [path for path in paths if path]


def shown(settings: GenerationSettings) -> dict[str, Any]:
    """The settings that a protocol names beside its figures."""
    return settings.model_dump(mode="json", include={"chat", "temperature", "top_p", "max_new_tokens", "limit"})
