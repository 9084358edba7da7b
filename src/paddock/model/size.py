"""How large a model is, and what it takes: parameters, FLOPs, memory. Nothing is allocated: the model is built on meta."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from paddock.errors import CheckpointError, did_you_mean
from paddock.model.checkpoint import read_config
from paddock.model.config import PRESETS, ModelConfig, preset
from paddock.model.transformer import Transformer

FLOPS_FORMULA = (
    "forward 2 N + 2 layers dim context, training three times that; N counts the matrices' parameters without the "
    "embedding's table, the second term is attention at the mean over a full context"
)


def describe_size(name_or_folder: str, micro_batch: int = 1) -> dict[str, Any]:
    """The figures of a preset ("7b") or of a model's folder; activations are of `micro_batch` rows of full context.

    Bytes throughout. Raises CheckpointError where it is neither, or the folder holds no model that Paddock can represent.
    """
    if name_or_folder in PRESETS:
        config = preset(name_or_folder)
    elif Path(name_or_folder).is_dir():
        config = read_config(name_or_folder)
    else:
        hint = did_you_mean(name_or_folder, PRESETS)
        raise CheckpointError(f'"{name_or_folder}" is neither a folder nor a preset ({", ".join(PRESETS)}).{hint}')
    parameters = count_parameters(config)
    forward = forward_flops(config)
    cached = kv_cache_elements(config)
    activations = micro_batch * config.context_length
    return {
        "shape": {**asdict(config), "head_dim": config.head_dim},
        "parameters": parameters,
        "flops_a_token": {"forward": forward, "training": 3 * forward, "formula": FLOPS_FORMULA},
        "memory_bytes": {
            "weights_float32": 4 * parameters["total"],
            "weights_bfloat16": 2 * parameters["total"],
            # float32 weights, gradients and AdamW's two moments
            "training_state": 16 * parameters["total"],
            "kv_cache_a_token_float32": 4 * cached,
            "kv_cache_a_token_bfloat16": 2 * cached,
            "kv_cache_full_context_float32": 4 * cached * config.context_length,
            "kv_cache_full_context_bfloat16": 2 * cached * config.context_length,
            "activations_float32": 4 * activations * saved_elements(config),
            "activations_float32_checkpointed": 4 * activations * saved_elements(config, checkpointed=True),
            "activations_are_of_rows": micro_batch,
        },
    }


def count_parameters(config: ModelConfig) -> dict[str, int]:
    """Parameters in all, of the embedding (the head's matrix included where it is another), and of each block."""
    with torch.device("meta"):
        model = Transformer(config)
    embedding = {id(weight): weight.numel() for weight in (model.embedding.weight, model.head.weight)}
    return {
        "total": sum(parameter.numel() for parameter in model.parameters()),
        "embedding": sum(embedding.values()),
        "each_block": sum(parameter.numel() for parameter in model.blocks[0].parameters()),
    }


def forward_flops(config: ModelConfig) -> int:
    """Floating-point operations to read one token, by FLOPS_FORMULA."""
    kv_width = config.n_kv_heads * config.head_dim
    block = config.dim * (2 * config.dim + 2 * kv_width + 3 * config.ffn_dim)
    matrices = config.n_layers * block + config.vocab_size * config.dim
    return 2 * matrices + 2 * config.n_layers * config.dim * config.context_length


def kv_cache_elements(config: ModelConfig) -> int:
    """Numbers that one token adds to the cache of keys and values."""
    return 2 * config.n_layers * config.n_kv_heads * config.head_dim


def saved_elements(config: ModelConfig, checkpointed: bool = False) -> int:
    """Numbers that the backward pass keeps for one token: an estimate from what uncompiled operations save.

    A block keeps, of width D, what goes into each norm, comes out of it before and after its weight, and attention's output;
    queries, keys and values as they leave their matrix, and queries and keys turned; of width F, gate, up, silu(gate) and
    the product. With activation checkpointing every block keeps its input, and one block at a time the rest. The last norm
    keeps three of width D, the head its input's gradient.
    """
    kv_width = config.n_kv_heads * config.head_dim
    block = 9 * config.dim + 3 * kv_width + 4 * config.ffn_dim
    blocks = config.n_layers * config.dim + block if checkpointed else config.n_layers * block
    return blocks + 4 * config.dim
