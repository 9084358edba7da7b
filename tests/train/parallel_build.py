"""Builds models under torchrun and writes what came of it: `torchrun ... parallel_build.py FOLDER JSON`.

The JSON maps a name to how the model is made, the arguments of `blueprint_of`. For each name the first rank writes
`NAME.safetensors`, the gathered weights and what a forward pass gives, and each rank `NAME-RANK.json`, what it saw.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

from paddock.model import checkpoint
from paddock.model.blueprint import Blueprint, fresh_model
from paddock.model.checkpoint import model_from, reward_model_from, value_model_from
from paddock.model.config import ModelConfig
from paddock.train.parallel import Ranks, build, local, processes, whole_state
from paddock.train.settings import TrainingSettings

IDS = torch.tensor([[5, 9, 3, 41, 40, 7, 70], [8, 8, 1, 2, 66, 0, 0]])


def blueprint_of(kind: str, source: Any) -> Blueprint:
    """A model of `kind`, from a shape or from a folder."""
    if kind == "fresh":
        return fresh_model(ModelConfig(**source), seed=5)
    return {"loaded": model_from, "reward": lambda path: reward_model_from(path, seed=6), "value": value_model_from}[kind](
        source
    )


class Made(TorchDispatchMode):
    """The number of elements of the largest tensor that an operator made in this process's memory.

    What safetensors reads is a view of the mapped file, and no memory: `paused` passes it over.
    """

    largest, paused = 0, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if self.paused:
            return result
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self.largest = max(self.largest, local(tensor).numel())
        return result


@contextmanager
def counted_reads(made: Made):
    """The numbers of elements that are read from safetensors files, one a read; `made` does not count these."""
    sizes: list[int] = []

    class File:
        def __init__(self, path, framework):
            self.file = safe_open(path, framework)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def keys(self):
            return self.file.keys()

        def get_slice(self, name):
            return Slice(self.file.get_slice(name))

    class Slice:
        def __init__(self, found):
            self.found, self.get_shape, self.get_dtype = found, found.get_shape, found.get_dtype

        def __getitem__(self, rows):
            made.paused = True
            read = self.found[rows]
            made.paused = False
            sizes.append(read.numel())
            return read

    checkpoint.safe_open = File
    yield sizes
    checkpoint.safe_open = safe_open


def report(blueprint: Blueprint, settings: TrainingSettings, ranks: Ranks) -> tuple[dict[str, torch.Tensor], dict]:
    """Build, run and gather a model: its weights and its output, and what this rank saw."""
    with Made() as made, counted_reads(made) as sizes:
        model = build(blueprint, settings, ranks).eval()
    seen = {
        "largest_made": made.largest,
        "read": sum(sizes),
        "largest_read": max(sizes, default=0),
        "tied": hasattr(model, "head") and model.head.weight is model.embedding.weight,
        "dtypes": {},
    }

    def look(name):
        return lambda module, _: seen["dtypes"].update({name: str(module.weight.dtype)})

    for name in ("score", "blocks.0.attention.qkv"):
        if name in dict(model.named_modules()):
            model.get_submodule(name).register_forward_pre_hook(look(name))
    with torch.no_grad():
        output = model(IDS)
    state = whole_state(model, ranks)
    seen["gathered"] = len(state)
    return {**state, "output": output}, seen


def main(folder: Path, job: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    with processes() as ranks:
        for name, (kind, source, precision) in job.items():
            settings = TrainingSettings(batch_size=2, learning_rate=1e-3, precision=precision)
            tensors, seen = report(blueprint_of(kind, source), settings, ranks)
            (folder / f"{name}-{ranks.rank}.json").write_text(json.dumps(seen))
            if ranks.is_first:
                save_file({key: tensor.clone() for key, tensor in tensors.items()}, folder / f"{name}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
