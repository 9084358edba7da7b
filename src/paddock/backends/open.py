"""Open whatever answers prompts, or scores answers, from its specification."""

from __future__ import annotations

from pathlib import Path

import torch

from paddock.model.checkpoint import load_model, load_reward_model
from paddock.model.generation import LocalChatModel
from paddock.model.scoring import LocalScorer
from paddock.model.vocabulary import load_tokenizer


def best_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def open_chat_model(folder: Path | str) -> LocalChatModel:
    """The model in `folder`, with the tokenizer beside it, on the best device: float32 on a CPU, as stored elsewhere.

    Raises CheckpointError where the folder holds no model or no tokenizer, or they do not fit.
    """
    device = best_device()
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, torch.float32 if device.type == "cpu" else None, device)
    return LocalChatModel(model.eval(), tokenizer, device)


def open_scorer(folder: Path | str) -> LocalScorer:
    """The reward model in `folder`, with the tokenizer beside it, as `open_chat_model` opens a chat model.

    Raises CheckpointError where the folder holds no reward model or no tokenizer, or they do not fit.
    """
    device = best_device()
    tokenizer = load_tokenizer(folder)
    model = load_reward_model(folder, torch.float32 if device.type == "cpu" else None, device)
    return LocalScorer(model.eval(), tokenizer)
