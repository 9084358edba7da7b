"""Models in the Hugging Face layout, in and out: `config.json` and safetensors, in one file or in shards with an index.

Any plain `LlamaForCausalLM` folder is read, and `LlamaForSequenceClassification` with one label for reward models; what this
network cannot represent is refused by name. Weights come from safetensors alone, never from a pickle. A model is described
by its `config.json`, never by the name of its folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from paddock.errors import CheckpointError, SettingsError
from paddock.model.blueprint import AnyTrunk, Blueprint
from paddock.model.config import ModelConfig
from paddock.model.heads import RewardModel, ScalarHead, ValueModel, fresh_head
from paddock.model.hugging_face import SCORE, Place, hugging_face_places
from paddock.model.stored_tensors import DTYPES, INDEX_FILE, WEIGHTS_FILE, check_tensors, inventory, stored_tensors
from paddock.model.transformer import Transformer, Trunk
from paddock.run_dir import atomic_folder, model_folder, to_json

if TYPE_CHECKING:
    from paddock.text.tokenizer import Tokenizer

CONFIG_FILE = "config.json"
LANGUAGE_MODEL, REWARD_MODEL = "LlamaForCausalLM", "LlamaForSequenceClassification"
UNKNOWN_ID = 0


def load_model(path: Path | str, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Transformer:
    """Read the language model in the folder `path`, tensor by tensor: at no time is there a second copy of the weights.

    `dtype` None keeps the dtype that the weights are stored in; `device` None is the CPU. Raises CheckpointError where the
    folder lacks a file, the network cannot represent what `config.json` says, or tensors are missing, unexpected or
    misshapen.
    """
    return _blueprint(Transformer, path, LANGUAGE_MODEL, dtype).build(device or "cpu")


def load_reward_model(
    path: Path | str, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> RewardModel:
    """Read the reward model in the folder `path`, its statistics with it; the head is float32. Otherwise as `load_model`."""
    model = _blueprint(RewardModel, path, REWARD_MODEL, dtype).build(device or "cpu")
    model.mean, model.std = _reward_statistics(path)
    return model


def model_from(path: Path | str) -> Blueprint[Transformer]:
    """A language model to be trained, in float32, with the weights in the folder `path`. Raises as `load_model`."""
    return _blueprint(Transformer, path, LANGUAGE_MODEL, torch.float32)


def reward_model_from(path: Path | str, seed: int) -> Blueprint[RewardModel]:
    """A reward model to be trained: the trunk of the chat model in `path` and a fresh head (paper section 3.2.2)."""
    head = {"score.weight": fresh_head(read_config(path).dim, seed)}
    return _blueprint(RewardModel, path, LANGUAGE_MODEL, torch.float32, head)


def value_model_from(path: Path | str) -> Blueprint[ValueModel]:
    """PPO's value model to be trained, in float32: the trunk of a chat or reward model. Raises as `load_model`.

    A chat model gives it a head of zeros. A reward model gives its own, so that values begin as (score - mean) / std, with
    the mean and std that travel with the model: on the scale of PPO's returns, which are of whitened rewards.
    """
    if not is_reward_model(path):
        zeros = {"value.weight": torch.zeros(1, read_config(path).dim), "value.bias": torch.zeros(1)}
        return _blueprint(ValueModel, path, LANGUAGE_MODEL, torch.float32, zeros)
    mean, std = _reward_statistics(path)
    scale = std if std > 0 else 1.0  # scores that were all equal say nothing of a scale
    raw = _blueprint(ValueModel, path, REWARD_MODEL, torch.float32, {"value.bias": torch.tensor([-mean])})

    def fill(name: str, first: int, rows: Tensor) -> None:
        raw.fill(name, first, rows)
        if name.startswith("value."):
            rows /= scale

    return Blueprint(raw.model, fill)


def _reward_statistics(path: Path | str) -> tuple[float, float]:
    """The mean and the standard deviation that travel with a reward model; 0 and 1 where none do."""
    about = _read_json(model_folder(path))
    return float(about.get("reward_mean", 0.0)), float(about.get("reward_std", 1.0))


def is_reward_model(path: Path | str) -> bool:
    """Whether the folder holds a reward model. Raises CheckpointError where it holds no model."""
    return _read_json(model_folder(path)).get("architectures") == [REWARD_MODEL]


def _blueprint(
    kind: type[AnyTrunk],
    path: Path | str,
    architecture: str,
    dtype: torch.dtype | None,
    given: Mapping[str, Tensor] = MappingProxyType({}),
) -> Blueprint[AnyTrunk]:
    """A model of `kind` with the weights of a folder of `architecture`, and the `given` parameters, which that lacks."""
    folder = model_folder(path)
    config = read_config(folder, architecture)
    with torch.device("meta"):
        model = kind(config)
    rows_of = {name: parameter.shape[0] for name, parameter in model.named_parameters() if name not in given}
    places = hugging_face_places(config, rows_of)
    stored = stored_tensors(folder)
    # The head of a tied model may be stored as well; a model with a scalar head has no use for it.
    spare = {"lm_head.weight"} if config.tie_embeddings or kind is not Transformer else set()
    shapes = {name: tuple(view.shape) for name, view in _views(places, model).items()}
    check_tensors(folder, stored, shapes, spare)
    model.to(dtype or DTYPES[stored["model.embed_tokens.weight"].dtype])
    for scalar_head in (module for module in model.modules() if isinstance(module, ScalarHead)):
        scalar_head.float()

    def fill(name: str, first: int, rows: Tensor) -> None:
        sources = [(theirs, place) for theirs, place in places.items() if place.parameter == name]
        for theirs, place in sources:
            begin, end = max(first, place.begin), min(first + len(rows), place.end)
            if begin < end:
                with safe_open(folder / stored[theirs].file, framework="pt") as tensors:
                    read = tensors.get_slice(theirs)[begin - place.begin : end - place.begin]
                rows[begin - first : end - first].copy_(read)
        if not sources:
            rows.copy_(given[name][first : first + len(rows)])

    return Blueprint(model, fill)


def save_model(
    model: Transformer,
    folder: Path | str,
    tokenizer: Tokenizer | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: float = 5e9,
) -> None:
    """Write `model`, and `tokenizer` beside it, so that transformers 4 and 5 and what reads their folders can open it.

    The weights are converted to `dtype` (None: as they are) and cut into shards of at most `max_shard_bytes`. The folder
    appears whole or not at all, replaces what stood there, and the same weights give the same bytes.
    """
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id} if tokenizer else {}
    stored_dtype = dtype or model.embedding.weight.dtype
    about = {**describe(model.config, stored_dtype), **ids}
    generation = {"bos_token_id": 1, "eos_token_id": 2, **ids}
    _save(
        model, folder, {CONFIG_FILE: about, "generation_config.json": generation}, tokenizer, stored_dtype, max_shard_bytes
    )


def save_reward_model(
    model: RewardModel,
    folder: Path | str,
    tokenizer: Tokenizer | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: float = 5e9,
) -> None:
    """Write a reward model as transformers' `LlamaForSequenceClassification`, its statistics in `config.json`.

    What reads such a folder takes the score at the last token that is not padding, so the padding must have an id that no
    text encodes to: that of the unknown piece, which byte fallback never gives. Otherwise as `save_model`.
    """
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id} if tokenizer else {}
    stored_dtype = dtype or model.embedding.weight.dtype
    about = {
        **describe(model.config, stored_dtype),
        **ids,
        "architectures": [REWARD_MODEL],
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
        "pad_token_id": UNKNOWN_ID,
        "reward_mean": model.mean,
        "reward_std": model.std,
    }
    _save(model, folder, {CONFIG_FILE: about}, tokenizer, stored_dtype, max_shard_bytes)


def _save(
    model: Trunk,
    folder: Path | str,
    descriptions: Mapping[str, Any],
    tokenizer: Tokenizer | None,
    dtype: torch.dtype,
    max_shard_bytes: float,
) -> None:
    """Write weights, descriptions and tokenizer, whole or not at all. A scalar head stays float32."""
    rows = {name: parameter.shape[0] for name, parameter in model.named_parameters()}
    views = _views(hugging_face_places(model.config, rows), model)
    shards = _cut_into_shards(views, dtype, max_shard_bytes)
    with atomic_folder(Path(folder)) as temporary:
        for name, content in descriptions.items():
            (temporary / name).write_text(to_json(content))
        weight_map = {}
        for number, names in enumerate(shards, start=1):
            single = len(shards) == 1
            file = WEIGHTS_FILE if single else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            tensors = {
                name: views[name].detach().to("cpu", torch.float32 if name == SCORE else dtype, copy=True).contiguous()
                for name in names
            }
            save_file(tensors, temporary / file, metadata={"format": "pt"})
            weight_map.update(dict.fromkeys(names, file))
        if len(shards) > 1:
            total = sum(view.numel() for view in views.values()) * dtype.itemsize
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (temporary / INDEX_FILE).write_text(to_json(index))
        if tokenizer:
            tokenizer.save(temporary)


def _views(places: Mapping[str, Place], model: Trunk) -> dict[str, Tensor]:
    """The network's parameters under Hugging Face's names, as views."""
    parameters = dict(model.named_parameters())
    return {name: parameters[place.parameter][place.begin : place.end] for name, place in places.items()}


def describe(config: ModelConfig, dtype: torch.dtype) -> dict[str, Any]:
    """The content of `config.json` for a model of this shape, stored in `dtype`.

    The rotary base stands in two places: `rope_theta` for transformers 4, `rope_parameters` for 5. The ids of BOS and EOS
    are those of the paper's tokenizer.
    """
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.dim,
        "initializer_range": 0.02,
        "intermediate_size": config.ffn_dim,
        "max_position_embeddings": config.context_length,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": config.n_heads,
        "num_hidden_layers": config.n_layers,
        "num_key_value_heads": config.n_kv_heads,
        "pad_token_id": None,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "rope_scaling": None,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tie_embeddings,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }


def read_config(path: Path | str, architecture: str = LANGUAGE_MODEL) -> ModelConfig:
    """The shape of the model in the folder `path`, from its `config.json`.

    Raises CheckpointError where there is none, where it describes a model that this network cannot represent, or one of
    another architecture.
    """
    folder = model_folder(path)
    found, file = _read_json(folder), folder / CONFIG_FILE
    if problems := list(_unrepresentable(found, architecture)):
        raise CheckpointError(f"{file} describes a model that Paddock cannot represent here: {'; '.join(problems)}")
    return _config_from(found, file)


def read_any_config(path: Path | str) -> ModelConfig:
    """`read_config` of a language model or a reward model, whichever the folder holds."""
    return read_config(path, REWARD_MODEL if is_reward_model(path) else LANGUAGE_MODEL)


def _read_json(folder: Path) -> dict[str, Any]:
    """The object in a model folder's `config.json`. Raises CheckpointError where there is none."""
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise CheckpointError(f"{folder} is not a model folder: it lacks config.json; {inventory(folder)}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds no JSON object")
    return found


def _unrepresentable(found: dict[str, Any], architecture: str) -> Iterator[str]:
    """Name each thing in a `config.json` that this network has no place for."""
    architectures = found.get("architectures") or [architecture]
    if found.get("model_type", "llama") != "llama" or architectures != [architecture]:
        yield f"its architecture is {', '.join(architectures)} ({found.get('model_type')}), not {architecture}"
    labels = len(found.get("id2label") or {0: ""})
    if architecture == REWARD_MODEL and labels != 1:
        yield f"it has {labels} labels, and a reward is one number"
    if found.get("quantization_config"):
        method = found["quantization_config"].get("quant_method", "an unknown method")
        yield f"its weights are quantised ({method}); only float32, bfloat16 and float16 are read"
    for name in ("attention_bias", "mlp_bias"):
        if found.get(name):
            yield f"{name} is true, and there are no biases here"
    if found.get("hidden_act", "silu") != "silu":
        yield f"hidden_act is {found['hidden_act']!r}, not 'silu'"
    heads, width = found.get("num_attention_heads"), found.get("hidden_size")
    if found.get("head_dim") and heads and width and found["head_dim"] * heads != width:
        yield f"head_dim is {found['head_dim']}, not hidden_size / num_attention_heads = {width} / {heads}"
    for name in ("rope_scaling", "rope_parameters"):
        rope = found.get(name) or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            yield f"{name} is of type {kind!r}; only unscaled rotary positions are known here"
        elif rope.get("partial_rotary_factor", 1.0) != 1.0:
            yield f"{name} turns only a part of each head (partial_rotary_factor {rope['partial_rotary_factor']})"


def _config_from(found: dict[str, Any], file: Path) -> ModelConfig:
    """A ModelConfig from a representable `config.json`; what is absent has the default that transformers gives it."""
    rope = found.get("rope_parameters") or {}
    try:
        return ModelConfig(
            vocab_size=int(found["vocab_size"]),
            dim=int(found["hidden_size"]),
            n_layers=int(found["num_hidden_layers"]),
            n_heads=int(found["num_attention_heads"]),
            n_kv_heads=int(found.get("num_key_value_heads") or found["num_attention_heads"]),
            ffn_dim=int(found["intermediate_size"]),
            context_length=int(found.get("max_position_embeddings", 2048)),
            rope_theta=float(rope.get("rope_theta") or found.get("rope_theta") or 10_000.0),
            norm_eps=float(found.get("rms_norm_eps", 1e-6)),
            tie_embeddings=bool(found.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise CheckpointError(f"{file} lacks the field {error}") from error
    except (TypeError, ValueError, SettingsError) as error:
        raise CheckpointError(f"{file}: {error}") from error


def _cut_into_shards(views: Mapping[str, Tensor], dtype: torch.dtype, max_shard_bytes: float) -> list[list[str]]:
    """Names in order, cut so that no shard is larger than `max_shard_bytes`, unless a single tensor is."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, view in views.items():
        tensor_bytes = view.numel() * dtype.itemsize
        if shards[-1] and size + tensor_bytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor_bytes
    return shards
