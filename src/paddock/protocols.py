"""The two protocols that hold the whole together: what answers a prompt, and what scores an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from paddock.text.dialog import Dialog

Prompt = Dialog | str
"""A dialog that ends with the user, or plain text that a base model continues."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw a completion.

    `temperature` 0 is greedy; `top_p` 1 and `top_k` 0 leave the distribution whole; `n` completions are drawn for each
    prompt; `stop` strings end a completion and are not part of it. The same seed gives the same completions.
    """

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int = 0

    def cut(self, text: str) -> str:
        """`text` up to the first stop string."""
        return text[: min((place for word in self.stop if (place := text.find(word)) >= 0), default=len(text))]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request cost in tokens: those of the prompt that were read, and those of all its completions."""

    read: int
    written: int


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. `token_ids` and `log_probs` (natural log) are None where a model has none.

    `token_ids` are the ids as sampled, the end token included where the model produced it, and those of a stop string that
    `text` leaves out. `log_probs` are of softmax(logits / temperature) before top-k and top-p cut it (of temperature 1 where
    the choice is greedy): what training at that temperature works out for the same ids. `usage` is what an endpoint counted,
    at the first completion of each request, and None elsewhere.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    log_probs: tuple[float, ...] | None = None
    finish_reason: Literal["stop", "length", "error"] = "stop"
    error: str | None = None
    usage: Usage | None = None


class ChatModel(Protocol):
    """Whatever answers a prompt: a local model, an endpoint, a file of ready replies.

    Worked example: `complete([Dialog((Message("user", "What is 2 + 3?"),))], Sampling(n=2))` returns one list with two
    completions, such as `[[Completion("5"), Completion("It is 5.")]]`.
    """

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Draw `sampling.n` completions for each prompt, in the prompts' order."""
        ...

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of each token of each continuation; UnsupportedError where a model cannot tell."""
        ...


class Scorer(Protocol):
    """Whatever scores dialogs that end with an answer."""

    def score(self, dialogs: Sequence[Dialog]) -> list[float | None]:
        """One score a dialog; None is a failure, which callers count and report."""
        ...
