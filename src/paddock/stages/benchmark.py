"""Measure a model on the paper's automatic safety benchmarks (section 4.1 and 4.4, tables 11, 14 and 44 to 50).

TruthfulQA, ToxiGen, BOLD and false refusal, each where its settings are given. The paper's decoding is the default:
temperature 0.1, top-p 0.9. Where it departs or says nothing (its curie judges are gone; the lengths of answers; the
refusal classifier), docs/benchmarks.md says what stands in their place, and `protocol` stands beside every figure.

    truthfulqa/answers.jsonl    what the model answered, as it came: a killed run goes on from there
    truthfulqa/items.jsonl      every prompt with its answer and its scores
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, ClassVar

from pydantic import Field, model_validator

from paddock.backends.open import open_chat_model
from paddock.backends.spec import spec_inputs
from paddock.progress import say
from paddock.run_dir import StageDir, read_json_lines
from paddock.safety.benchmarks import bold, false_refusal, toxigen, truthfulqa
from paddock.safety.benchmarks.kept import KeptModel
from paddock.safety.benchmarks.questions import read_questions
from paddock.safety.benchmarks.records import sample_of
from paddock.safety.benchmarks.settings import (
    BoldSettings,
    FalseRefusalSettings,
    GenerationSettings,
    ToxigenSettings,
    TruthfulqaSettings,
)
from paddock.settings import StageSettings

SAMPLES = 6  # of each benchmark


class BenchmarkSettings(StageSettings):
    """Which model, and which benchmarks."""

    may_change: ClassVar[frozenset[str]] = frozenset({"tries"})

    model: str | dict[str, Any] = Field(description="the model: a folder or a spec")
    truthfulqa: TruthfulqaSettings | None = Field(None, description="TruthfulQA; None: not measured")
    toxigen: ToxigenSettings | None = Field(None, description="ToxiGen; None: not measured")
    bold: BoldSettings | None = Field(None, description="BOLD; None: not measured")
    false_refusal: FalseRefusalSettings | None = Field(None, description="false refusal; None: not measured")
    tries: int = Field(
        1, ge=1, description="how often a run asks for what has failed; a complete stage asks again under another number"
    )
    seed: int = Field(0, ge=0, description="of the sampling, and of what is sampled of the data")

    @model_validator(mode="after")
    def _something_is_measured(self) -> BenchmarkSettings:
        if not self.chosen():
            raise ValueError("nothing to measure: give truthfulqa, toxigen, bold or false_refusal")
        return self

    def chosen(self) -> dict[str, GenerationSettings]:
        """The benchmarks that are to be measured."""
        found = {name: getattr(self, name) for name in MEASURES}
        return {name: settings for name, settings in found.items() if settings is not None}

    def inputs(self) -> list[str]:
        """The model, and what the benchmarks read."""
        read = [path for settings in self.chosen().values() for path in settings.inputs()]
        return list(dict.fromkeys([*spec_inputs(self.model), *read]))


MEASURES: dict[str, Callable[[Any, KeptModel, int], dict[str, Any]]] = {
    "truthfulqa": truthfulqa.measure,
    "toxigen": toxigen.measure,
    "bold": bold.measure,
    "false_refusal": false_refusal.measure,
}


PROMPTS: dict[str, Callable[[Any], Sequence[object]]] = {
    "truthfulqa": lambda settings: read_questions(settings.data),
    "toxigen": lambda settings: toxigen.read_sentences(settings.data),
    "bold": bold.openings_of,
    "false_refusal": false_refusal.requests_of,
}
"""What each benchmark asks, before `limit`."""


def plan(settings: BenchmarkSettings) -> dict[str, Any]:
    """How many prompts each benchmark would ask. Raises DataError for what cannot be read."""
    return {
        name: {"data": its.data, "prompts": len(sample_of(PROMPTS[name](its), its.limit, settings.seed))}
        for name, its in settings.chosen().items()
    }


def run(settings: BenchmarkSettings, stage_dir: StageDir) -> dict[str, Any]:
    """Measure, and return the figures by benchmark: `scores`, failures and `protocol` of each."""
    open_model = cache(partial(open_chat_model, settings.model))
    results: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for name, its in settings.chosen().items():
        say(f"{name}: {settings.model} on {its.data}")
        folder = stage_dir.path / name
        kept = KeptModel(settings.model, open_model, folder, settings.tries)
        results[name] = MEASURES[name](its, kept, settings.seed)
        answered = [item for item in read_json_lines(folder / "items.jsonl") if item.get("answer") is not None]
        step = max(1, len(answered) // SAMPLES)
        samples += [{"benchmark": name, **item} for item in answered[::step][:SAMPLES]]
    stage_dir.write_samples(samples)
    return {"benchmarks": results}
