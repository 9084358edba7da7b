"""A chat model with a system prompt and sampling settings of its own, as the paper's opponents have theirs (Table 32)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paddock.backends.spec import SamplingSettings
from paddock.protocols import ChatModel, Completion, Prompt, Sampling
from paddock.text.dialog import Dialog, Message


@dataclass(frozen=True)
class Configured:
    """A chat model that is asked in its own way: a dialog with a system message keeps that one."""

    model: ChatModel
    system_prompt: str | None
    sampling: SamplingSettings

    @staticmethod
    def of(model: ChatModel, system_prompt: str | None, sampling: SamplingSettings) -> ChatModel:
        """The model itself where there is nothing to set."""
        is_plain = system_prompt is None and sampling == SamplingSettings()
        return model if is_plain else Configured(model, system_prompt, sampling)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """As the model, with its own sampling over the caller's."""
        return self.model.complete([self._told(prompt) for prompt in prompts], self.sampling.over(sampling))

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """As the model."""
        return self.model.log_probs([self._told(prompt) for prompt in prompts], continuations)

    def _told(self, prompt: Prompt) -> Prompt:
        if self.system_prompt is None or not isinstance(prompt, Dialog) or prompt.messages[0].role == "system":
            return prompt
        return replace(prompt, messages=(Message("system", self.system_prompt), *prompt.messages))
