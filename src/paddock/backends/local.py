"""Paddock's own models, where a caller needs more of them than the protocols: their tokens, their network, their device."""

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


def open_local_model(folder: Path | str) -> LocalChatModel:
    """The model in `folder`, with the tokenizer beside it, on the best device: float32 on a CPU, as stored elsewhere.

    Raises CheckpointError where the folder holds no model or no tokenizer, or they do not fit.
    """
    device = best_device()
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, torch.float32 if device.type == "cpu" else None, device)
    return LocalChatModel(model.eval(), tokenizer, device)


def scoring_dtype(device: torch.device) -> torch.dtype:
    """What a reward model's trunk scores in: bfloat16 on a GPU that multiplies it, in half of the memory; else float32."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def open_local_scorer(folder: Path | str, dtype: torch.dtype | None = None) -> LocalScorer:
    """The reward model in `folder`, with the tokenizer beside it, on the best device; its trunk in `dtype`.

    None: as `scoring_dtype` says. The head is float32 always.
    Raises CheckpointError where the folder holds no reward model or no tokenizer, or they do not fit.
    """
    device = best_device()
    tokenizer = load_tokenizer(folder)
    model = load_reward_model(folder, dtype or scoring_dtype(device), device)
    return LocalScorer(model.eval(), tokenizer)
