"""The best of K replies, as a chat model: what reward models give without training, and so a control for what it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paddock.errors import UnsupportedError
from paddock.protocols import Completion, Prompt, Sampling
from paddock.stages.replies import Sampler, best_of
from paddock.text.dialog import Dialog


@dataclass(frozen=True)
class BestOf:
    """A policy that samples `replies` replies at `temperature` to each dialog, and gives the one of the highest rank."""

    sampler: Sampler
    replies: int
    temperature: float
    kl_coef: float = 0.0

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """One completion a dialog, whatever `sampling.n` and its temperature say; an error where a prompt leaves no room."""
        dialogs = [prompt for prompt in prompts if isinstance(prompt, Dialog)]
        assert len(dialogs) == len(prompts), "rewards judge dialogs"
        wanted = replace(sampling, n=self.replies, temperature=self.temperature)
        completions = []
        for some in self.sampler.replies(dialogs, wanted):
            if not some:
                problem = "the prompt leaves no room for an answer"
                completions.append([Completion("", finish_reason="error", error=problem)])
                continue
            best = best_of(some, self.kl_coef)
            completions.append([Completion(best.text, best.ids, None, "stop" if best.ended else "length")])
        return completions

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """The best of several has no probability of its own. Raises UnsupportedError."""
        raise UnsupportedError("the best of several replies has no log-probabilities")
