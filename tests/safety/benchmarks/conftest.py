"""Models whose answers a test decides, and what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from paddock.protocols import Completion, Prompt, Sampling
from paddock.safety.benchmarks.kept import KeptModel


class Told:
    """A chat model that answers by a function of the prompt; None is a failure. `asked` notes every prompt."""

    def __init__(self, answer: Callable[[Prompt], str | None], log_prob: Callable[[str], float] = len) -> None:
        self.answer, self.log_prob = answer, log_prob
        self.asked: list[Prompt] = []
        self.samplings: list[Sampling] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        self.asked += prompts
        self.samplings.append(sampling)
        answers = [self.answer(prompt) for prompt in prompts]
        return [
            [Completion("", finish_reason="error", error="no") if text is None else Completion(text)] for text in answers
        ]

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        self.asked += prompts
        return [[self.log_prob(text) / 2] * 2 for text in continuations]


@pytest.fixture
def kept_model(tmp_path: Path) -> Callable[[Told], KeptModel]:
    """Keep a model's answers in a folder of the test's."""

    def keep(model: Told) -> KeptModel:
        return KeptModel("told", lambda: model, tmp_path / "kept")

    return keep


@pytest.fixture
def told() -> type[Told]:
    """The model whose answers a test decides."""
    return Told
