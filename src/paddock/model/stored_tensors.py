"""The tensors that a model's folder stores: which files hold them, what the headers say, and whether they fit a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from paddock.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
NAMES_IN_AN_ERROR = 5


class StoredTensor(NamedTuple):
    """What a header says of a tensor, and the name of the file that holds it; `dtype` is in safetensors' words."""

    file: str
    shape: tuple[int, ...]
    dtype: str


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the folder, by name; only headers are read.

    Raises CheckpointError where the folder holds no weights, lacks a file that its index names, or a file is damaged.
    """
    stored = {}
    for file in _weight_files(folder):
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder} lacks {file}, which {INDEX_FILE} names; {inventory(folder)}")
        try:
            with safe_open(folder / file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (an open file of tensors is not a mapping)
                    header = tensors.get_slice(name)
                    stored[name] = StoredTensor(file, tuple(header.get_shape()), header.get_dtype())
        except SafetensorError as error:
            raise CheckpointError(f"{folder / file} is damaged or no safetensors file: {error}. Fetch it again") from error
    return stored


def _weight_files(folder: Path) -> list[str]:
    """The names of the files that hold the weights: the one file, or those that the index names."""
    index = folder / INDEX_FILE
    if (folder / WEIGHTS_FILE).is_file():
        return [WEIGHTS_FILE]
    if not index.is_file():
        raise CheckpointError(f"{folder} lacks {WEIGHTS_FILE} (or {INDEX_FILE} and its shards); {inventory(folder)}")
    files: set[str] = set()
    with suppress(json.JSONDecodeError, KeyError, AttributeError):
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    if not files or any(Path(file).name != file for file in files):
        raise CheckpointError(f"{index} holds no weight_map from tensors to files beside it")
    return sorted(files)


def check_tensors(
    folder: Path, stored: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]], spare: Iterable[str] = ()
) -> None:
    """Raise CheckpointError, naming tensors, unless those stored in `folder` have the names and `shapes` of the network's.

    `spare` names what may be stored as well.
    """
    # Old folders store the rotary frequencies, which say nothing new.
    known = {*shapes, *spare, *(name for name in stored if name.endswith("rotary_emb.inv_freq"))}
    common = [name for name in shapes if name in stored]
    problems = {
        "missing": [name for name in shapes if name not in stored],
        "unexpected": [name for name in stored if name not in known],
        "misshapen": [
            f"{name} {stored[name].shape} instead of {shapes[name]}" for name in common if stored[name].shape != shapes[name]
        ],
        "not float32, bfloat16 or float16:": [
            f"{name} ({stored[name].dtype})" for name in common if stored[name].dtype not in DTYPES
        ],
    }
    found = [f"{problem} {_some(names)}" for problem, names in problems.items() if names]
    if found:
        raise CheckpointError(f"the tensors in {folder} do not fit its config.json: {'; '.join(found)}")


def inventory(folder: Path) -> str:
    """What a folder that cannot be read does hold, in words, and what would help."""
    if not folder.is_dir():
        return "there is no such folder" if not folder.exists() else "it is a file"
    names = sorted(file.name for file in folder.iterdir())
    holds = f"it holds {_some(names)}" if names else "it is empty"
    if any(name.endswith((".bin", ".pt", ".pth")) for name in names) and not any(n.endswith(".safetensors") for n in names):
        holds += (
            ". Only safetensors are read, since a pickle can run code. Convert a folder that you trust with transformers: "
            'AutoModelForCausalLM.from_pretrained("OLD").save_pretrained("NEW")'
        )
    return holds


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMES_IN_AN_ERROR
    return ", ".join(names[:NAMES_IN_AN_ERROR]) + (f" and {more} more" if more > 0 else "")
