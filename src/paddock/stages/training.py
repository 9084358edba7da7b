"""What the training stages share beside the loop: the figures of a dry run, and the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from paddock.backends.local import best_device, open_local_model
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.size import count_parameters, saved_elements
from paddock.model.transformer import Transformer
from paddock.protocols import Prompt, Sampling
from paddock.run_dir import StageDir
from paddock.text.dialog import Dialog
from paddock.text.tokenizer import Tokenizer
from paddock.train.loop import Fitted, Setup, rows_at_once
from paddock.train.parallel import whole_state
from paddock.train.precision import estimate_seconds
from paddock.train.settings import TrainingSettings

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=128)
FLOAT_BYTES = 4
STATE_BYTES = 16  # a parameter's float32 weight, gradient and two moments of AdamW


def plan_figures(config: ModelConfig, settings: TrainingSettings, steps: int, rows: int, width: int) -> dict[str, Any]:
    """What a dry run says of the work: steps of `rows` rows of `width` tokens, parameters, a device's memory and time."""
    parameters = count_parameters(config)["total"]
    at_once = rows_at_once(rows, width, settings.micro_batch_size)
    activations = at_once * width * saved_elements(config, settings.activation_checkpointing) * FLOAT_BYTES
    return {
        "steps": steps,
        "parameters": parameters,
        "memory_bytes": parameters * STATE_BYTES + activations,
        "estimated_seconds": estimate_seconds(parameters, steps * rows * width, best_device(), 1),
    }


def finish(
    fitted: Fitted, config: ModelConfig, tokenizer: Tokenizer, stage_dir: StageDir, prompts: Sequence[Prompt]
) -> None:
    """Save the model with its tokenizer, and what it answers to `prompts`. Every rank must call it; the first one writes."""
    save_whole(fitted.setup, config, tokenizer, stage_dir)
    if fitted.setup.ranks.is_first and prompts:
        answers = open_local_model(stage_dir.model).complete(prompts, SAMPLING)
        stage_dir.write_samples(
            {"prompt": shown(prompt), "answer": answer[0].text} for prompt, answer in zip(prompts, answers, strict=True)
        )
    fitted.setup.ranks.wait()


def save_whole(setup: Setup, config: ModelConfig, tokenizer: Tokenizer, stage_dir: StageDir) -> None:
    """Save a language model with its tokenizer. Every rank must call it; the first one writes."""
    state = whole_state(setup.model, setup.ranks)
    if setup.ranks.is_first:
        with torch.device("meta"):
            model = Transformer(config)
        model.load_state_dict(state, assign=True)
        save_model(model, stage_dir.model, tokenizer)


def shown(prompt: Prompt) -> str | list[dict[str, str]]:
    """A prompt as `samples.jsonl` holds it: text, or messages."""
    return [asdict(message) for message in prompt.messages] if isinstance(prompt, Dialog) else prompt
