"""A chat model that vLLM's offline engine runs, in this process (extra `vllm`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paddock.backends.spec import VllmSpec
from paddock.errors import MissingExtraError, UnsupportedError
from paddock.protocols import Completion, Prompt, Sampling
from paddock.text.dialog import Dialog


@dataclass(frozen=True)
class VllmChatModel:
    """vLLM's engine as a `ChatModel`: dialogs through the model's chat template, text as it is. The engine batches."""

    engine: Any
    name: str

    @staticmethod
    def open(spec: VllmSpec) -> VllmChatModel:
        """Load a model. Raises MissingExtraError, and what vLLM raises."""
        try:
            from vllm import LLM
        except ImportError:
            raise MissingExtraError("vllm", "vllm") from None
        return VllmChatModel(LLM(model=spec.model, tensor_parallel_size=spec.devices), spec.model)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Draw `sampling.n` completions for each prompt, in the prompts' order."""
        from vllm import SamplingParams

        parameters = SamplingParams(
            n=sampling.n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_new_tokens,
            stop=list(sampling.stop),
            seed=sampling.seed,
        )
        found: list[list[Completion]] = [[] for _ in prompts]
        for is_dialog, ask in ((True, self.engine.chat), (False, self.engine.generate)):
            places = [place for place, prompt in enumerate(prompts) if isinstance(prompt, Dialog) == is_dialog]
            if not places:
                continue
            asked = [_as_asked(prompts[place]) for place in places]
            for place, answer in zip(places, ask(asked, parameters, use_tqdm=False), strict=True):
                found[place] = [_completion(output, is_dialog) for output in answer.outputs]
        return found

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Raises UnsupportedError: vLLM's server, as an endpoint, tells those of plain text."""
        raise UnsupportedError(
            f"{self.name}: the offline engine gives no log-probabilities here. Serve it, and use kind openai"
        )


def _as_asked(prompt: Prompt) -> Any:
    if isinstance(prompt, Dialog):
        return [{"role": message.role, "content": message.content} for message in prompt.messages]
    return prompt


def _completion(output: Any, is_dialog: bool) -> Completion:
    text, ids = output.text.strip() if is_dialog else output.text, tuple(output.token_ids)
    if output.finish_reason not in ("stop", "length"):
        return Completion(text, ids, finish_reason="error", error=f"vLLM ended it: {output.finish_reason}")
    return Completion(text, ids, finish_reason=output.finish_reason)
