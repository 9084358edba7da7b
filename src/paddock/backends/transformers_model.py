"""Chat models and scorers that transformers runs: any causal language model, any sequence classifier (extra `hf`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from paddock.backends.local import best_device
from paddock.backends.spec import TransformersSpec
from paddock.errors import MissingExtraError, PaddockError, SettingsError, UnsupportedError
from paddock.protocols import Completion, Prompt, Sampling
from paddock.text.branches import shared_length
from paddock.text.dialog import Dialog


@dataclass(frozen=True)
class TransformersChatModel:
    """A causal language model with its own chat template, as a `ChatModel`; batches are padded on the left."""

    model: Any
    tokenizer: Any
    batch_size: int

    @staticmethod
    def open(spec: TransformersSpec) -> TransformersChatModel:
        """Load a model. Raises MissingExtraError, and PaddockError for a name or a folder that holds none."""
        return TransformersChatModel(*_loaded(spec.model, "AutoModelForCausalLM"), spec.batch_size)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        """Draw `sampling.n` completions for each prompt, in the prompts' order; `log_probs` are not known here.

        A prompt that leaves no room in the context is answered with `finish_reason` "error". The same prompts in the same
        order and the same seed give the same completions. Raises UnsupportedError for a dialog where the model has no chat
        template.
        """
        encoded = [_ids_of(self.tokenizer, prompt) for prompt in prompts]
        found: list[list[Completion]] = [[_no_room(len(ids), self._context)] * sampling.n for ids in encoded]
        fitting = [place for place, ids in enumerate(encoded) if len(ids) < self._context]
        fitting.sort(key=lambda place: len(encoded[place]))
        at_a_time = max(1, self.batch_size // sampling.n)
        with torch.random.fork_rng():
            torch.manual_seed(sampling.seed)
            for begin in range(0, len(fitting), at_a_time):
                places = fitting[begin : begin + at_a_time]
                sampled = self._generate([encoded[place] for place in places], sampling)
                for number, place in enumerate(places):
                    mine = sampled[number * sampling.n : (number + 1) * sampling.n]
                    found[place] = [self._completion(prompts[place], ids, sampling) for ids in mine]
        return found

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """Natural-log probability of each token of each continuation, at temperature 1.

        The continuation of a Dialog is a whole answer, its end token included. Raises as `complete`, and PaddockError where
        prompt and continuation exceed the context.
        """
        return [self._log_probs(*pair) for pair in zip(prompts, continuations, strict=True)]

    @property
    def _context(self) -> int:
        return int(getattr(self.model.config, "max_position_embeddings", None) or self.tokenizer.model_max_length)

    @property
    def _ends(self) -> set[int]:
        """The ids that end an answer."""
        found = self.model.generation_config.eos_token_id
        listed = found if isinstance(found, list) else [found, self.tokenizer.eos_token_id]
        return {token for token in listed if token is not None}

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[list[int]]:
        """New ids of `n` completions a prompt, one prompt's side by side, up to their end."""
        from transformers import GenerationConfig

        inputs = self.tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(self.model.device)
        width = inputs["input_ids"].shape[1]
        choice = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        returned = sampling.n if sampling.temperature > 0 else 1  # greedy ones are equal: one is drawn, and copied
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=min(sampling.max_new_tokens, self._context - width),
            num_return_sequences=returned,
            do_sample=sampling.temperature > 0,
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=self.tokenizer.pad_token_id,
            stop_strings=list(sampling.stop) or None,
            **(choice if sampling.temperature > 0 else {}),
        )
        ids = self.model.generate(**inputs, generation_config=config, tokenizer=self.tokenizer)[:, width:].tolist()
        return [row for row in map(self._up_to_end, ids) for _ in range(sampling.n // returned)]

    def _up_to_end(self, ids: list[int]) -> list[int]:
        end = next((place for place, token in enumerate(ids, start=1) if token in self._ends), None)
        if end is not None:
            return ids[:end]
        while ids and ids[-1] == self.tokenizer.pad_token_id:
            ids.pop()  # a row that a stop string ended waits, padded, for the others
        return ids

    def _completion(self, prompt: Prompt, ids: list[int], sampling: Sampling) -> Completion:
        whole = self.tokenizer.decode(ids, skip_special_tokens=True)
        text = sampling.cut(whole)
        ended = text != whole or (bool(ids) and ids[-1] in self._ends)
        reason: Literal["stop", "length"] = "stop" if ended else "length"
        return Completion(text.strip() if isinstance(prompt, Dialog) else text, tuple(ids), finish_reason=reason)

    @torch.inference_mode()
    def _log_probs(self, prompt: Prompt, continuation: str) -> list[float]:
        before = _ids_of(self.tokenizer, prompt)
        if isinstance(prompt, Dialog):
            ids = _ids_of(self.tokenizer, prompt.with_reply(continuation))
            ends = [place for place, token in enumerate(ids, start=1) if token in self._ends and place > len(before)]
            ids = ids[: ends[-1]] if ends else ids  # a template may write a line end after the answer's end
        else:
            ids = _ids_of(self.tokenizer, prompt + continuation)
        if len(ids) > self._context:
            raise PaddockError(f"a prompt and its continuation are {len(ids)} tokens; the context is {self._context}")
        first = shared_length(before, ids)
        logits = self.model(torch.tensor([ids], device=self.model.device)).logits[0, first - 1 : -1].float()
        wanted = torch.tensor(ids[first:], device=logits.device)
        chosen: list[float] = logits.log_softmax(dim=-1).gather(-1, wanted[:, None])[:, 0].tolist()
        return chosen


@dataclass(frozen=True)
class TransformersScorer:
    """A sequence classifier as a `Scorer`: a reward model's raw logit, or the probability of one label (by its number).

    A dialog is read through the chat template; without one, all up to the answer and the answer are a pair of texts.
    """

    model: Any
    tokenizer: Any
    label: int | None
    batch_size: int

    @staticmethod
    def open(spec: TransformersSpec) -> TransformersScorer:
        """Load a classifier. Raises as `TransformersChatModel.open`, and SettingsError where `label` does not fit it."""
        model, tokenizer = _loaded(spec.model, "AutoModelForSequenceClassification")
        labels = {name: number for number, name in model.config.id2label.items()}
        if spec.label is None and len(labels) > 1:
            raise SettingsError(f"{spec.model} has the labels {', '.join(labels)}: say by label whose probability counts")
        if spec.label is not None and spec.label not in labels:
            raise SettingsError(f"{spec.model} has no label {spec.label!r}, and has {', '.join(labels)}")
        number = None if spec.label is None or len(labels) == 1 else int(labels[spec.label])
        return TransformersScorer(model, tokenizer, number, spec.batch_size)

    @torch.inference_mode()
    def score(self, dialogs: Sequence[Dialog]) -> list[float | None]:
        """One score a dialog that ends with an answer; None where it is longer than the model's context."""
        context = int(getattr(self.model.config, "max_position_embeddings", None) or self.tokenizer.model_max_length)
        encoded = [self._ids(dialog) for dialog in dialogs]
        scores: list[float | None] = [None] * len(dialogs)
        order = [place for place in range(len(dialogs)) if len(encoded[place]["input_ids"]) <= context]
        order.sort(key=lambda place: len(encoded[place]["input_ids"]))
        for begin in range(0, len(order), self.batch_size):
            places = order[begin : begin + self.batch_size]
            inputs = self.tokenizer.pad([encoded[place] for place in places], return_tensors="pt").to(self.model.device)
            logits = self.model(**inputs).logits.float()
            column = logits[:, 0] if self.label is None else logits.softmax(dim=-1)[:, self.label]
            for place, score in zip(places, column.tolist(), strict=True):
                scores[place] = score
        return scores

    def _ids(self, dialog: Dialog) -> dict[str, list[int]]:
        if self.tokenizer.chat_template:
            ids = _ids_of(self.tokenizer, dialog)
            return {"input_ids": ids, "attention_mask": [1] * len(ids)}
        asked = "\n\n".join(message.content for message in dialog.messages[:-1])
        return dict(self.tokenizer(asked, dialog.messages[-1].content))


def _loaded(name: str, auto_class: str) -> tuple[Any, Any]:
    """The model of a class of transformers, on the best device, and its tokenizer."""
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("transformers", "hf") from None
    device = best_device()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, padding_side="left")
        precision = torch.float32 if device.type == "cpu" else "auto"
        model = getattr(transformers, auto_class).from_pretrained(name, dtype=precision)
    except (OSError, ValueError) as error:
        raise PaddockError(f"transformers cannot load {name} ({str(error).splitlines()[0]})") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def _ids_of(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The ids of plain text, or of a dialog through the chat template; after a prompt the answer is to follow."""
    if not isinstance(prompt, Dialog):
        return list(tokenizer(prompt)["input_ids"])
    if not tokenizer.chat_template:
        raise UnsupportedError(
            f"{tokenizer.name_or_path} has no chat template: it continues plain text, and holds no dialog"
        )
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt.is_prompt)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _no_room(tokens: int, context: int) -> Completion:
    problem = f"the prompt has {tokens} tokens, and the model's context of {context} leaves no room for an answer"
    return Completion("", finish_reason="error", error=problem)
