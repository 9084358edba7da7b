"""Saves for resuming: atomic, checksummed, exact.

    checkpoints/step-00000100/rank-00000.safetensors    weights, optimizer moments, random state: this rank's shards
    checkpoints/step-00000100/state.json                step, what else the loop knows, a checksum of every file

A save becomes visible by one rename, after its files are on disk. Nothing is pickled. A run that goes on from a save is the
same run: its final weights have the same bits.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from paddock.errors import CheckpointError, TrainingError
from paddock.progress import say
from paddock.run_dir import atomic_folder, hash_of, remove_leftovers, to_json
from paddock.train.parallel import Ranks, local

STATE_FILE = "state.json"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Saves:
    """The saves of one run, in `folder`; the newest `keep` stay, and the best step of each of these.

    Every rank must call `write`, `newest` and `read`.
    """

    folder: Path
    keep: int
    ranks: Ranks

    def write(self, step: int, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Save `step`: this rank's tensors, and what the loop knows, as JSON.

        `progress["best_step"]`, where given, names an earlier save that must stay. Raises TrainingError where the disk is
        full: the saves made before stay whole.
        """
        with (
            no_room_stops_the_run(self.folder),
            atomic_folder(self._path(step)) if self.ranks.is_first else nullcontext() as temporary,
        ):
            folder = self.ranks.from_first(temporary)
            assert folder is not None
            digests = self._write_ranks(folder, tensors)
            if self.ranks.is_first:
                files = {_rank_file(rank): digest for rank, digest in enumerate(digests)}
                content = {"step": step, "world_size": self.ranks.size, "files": files, "progress": dict(progress)}
                (folder / STATE_FILE).write_text(to_json({**content, "checksum": hash_of(content)}))
        if self.ranks.is_first:
            self._prune(step)
        self.ranks.wait()  # no rank may read the save before the first one has put it in its place

    def newest(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The progress and this rank's tensors of the newest whole save, or None where there is none.

        A damaged save is passed over with a warning that names it. Raises CheckpointError where another number of processes
        made the save.
        """
        if self.ranks.is_first:
            remove_leftovers(self.folder)
        for step in self.ranks.from_first(sorted(self._steps(), reverse=True)):
            damage = self._damage(step)
            if damage is None:
                return self._load(step)
            if self.ranks.is_first:
                say(f"warning: the save {self._path(step)} is damaged ({damage}): passed over")
        return None

    def read(self, step: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The progress and this rank's tensors of the save of `step`. Raises CheckpointError where it is damaged."""
        damage = self._damage(step)
        if damage is not None:
            raise CheckpointError(
                f"the save {self._path(step)} is damaged ({damage}). Remove the stage's folder and start again"
            )
        return self._load(step)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _steps(self) -> list[int]:
        return [int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*")]

    def _write_ranks(self, folder: Path, tensors: Mapping[str, Tensor]) -> list[str]:
        """Write this rank's file; return all ranks' checksums. Raises OSError on every rank where one has no room."""
        file, error = folder / _rank_file(self.ranks.rank), 0
        try:
            save_file({name: local(t).detach().contiguous() for name, t in tensors.items()}, file)
        except (OSError, SafetensorError) as problem:
            error = error_number(problem)
            if error not in NO_ROOM:
                raise
        errors = [e for e in self.ranks.gather(error) if e]
        if errors:
            raise OSError(errors[0], os.strerror(errors[0]), str(folder))
        return self.ranks.gather(_checksum(file))

    def _damage(self, step: int) -> str | None:
        """What is wrong with the save of `step` on any rank, in words, or None."""
        problems = self.ranks.gather(_problem_with(self._path(step), self.ranks.rank))
        return next((problem for problem in problems if problem), None)

    def _load(self, step: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        state = json.loads((self._path(step) / STATE_FILE).read_text())
        if state["world_size"] != self.ranks.size:
            raise CheckpointError(
                f"the save {self._path(step)} was made by {state['world_size']} processes, and this run has "
                f"{self.ranks.size}. Go on with `torchrun --nproc-per-node {state['world_size']}`"
            )
        return state["progress"], load_file(self._path(step) / _rank_file(self.ranks.rank))

    def _prune(self, newest: int) -> None:
        """Remove the saves that nothing needs any more. Those after `newest` are damaged, and will be written again."""
        steps = sorted(step for step in self._steps() if step <= newest)
        kept = set(steps[-self.keep :])
        for step in steps[-self.keep :]:
            with suppress(OSError, ValueError, KeyError):  # an older save that was damaged since points to no best step
                state = json.loads((self._path(step) / STATE_FILE).read_text())
                kept.add(state["progress"].get("best_step"))
        for step in set(steps) - kept:
            hidden = self.folder / f".step-{step:08d}.tmp"  # so that a kill leaves no save that looks damaged
            self._path(step).replace(hidden)
            shutil.rmtree(hidden)


def _rank_file(rank: int) -> str:
    return f"rank-{rank:05d}.safetensors"


def _checksum(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _problem_with(folder: Path, rank: int) -> str | None:
    """What is wrong with a save, as far as `rank` reads it, or None."""
    try:
        state = json.loads((folder / STATE_FILE).read_text())
        if state.pop("checksum") != hash_of(state):
            return f"{STATE_FILE} has changed since it was written"
        name = _rank_file(rank)
        if name in state["files"] and _checksum(folder / name) != state["files"][name]:
            return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return f"{STATE_FILE} is not readable: {error}"
    return None


def error_number(error: Exception) -> int:
    """The operating system's number of an error; safetensors gives it in words alone. 0 where there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"os error (\d+)", str(error))
    return int(found[1]) if found else 0


@contextmanager
def no_room_stops_the_run(path: Path) -> Iterator[None]:
    """Turn a full disk (or quota) while writing to `path` into a TrainingError that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise TrainingError(
            f"{path}: the disk is full ({os.strerror(error.errno)}). The last save is whole: make room, and start again "
            "with the same command to go on from it"
        ) from error


def training_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that the next step depends on, by name: weights, buffers that travel with them, AdamW's moments,
    the state of torch's generators.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    kept = model.state_dict()
    tensors = {f"model.{name}": parameter for parameter, name in names.items()}
    tensors |= {f"model.{name}": buffer for name, buffer in model.named_buffers() if name in kept}
    for parameter, moments in optimizer.state.items():
        tensors |= {f"optimizer.{names[parameter]}.{kind}": value for kind, value in moments.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors


def restore(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put `training_tensors` back. Raises CheckpointError where they belong to another model."""
    restore_weights(model, tensors)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        name, moments = names[parameter], optimizer.state[parameter]
        if f"optimizer.{name}.step" not in tensors:  # the save was made before this optimizer's first step
            continue
        for kind in ("exp_avg", "exp_avg_sq"):
            moments[kind] = torch.zeros_like(parameter)
            local(moments[kind]).copy_(tensors[f"optimizer.{name}.{kind}"])
        moments["step"] = tensors[f"optimizer.{name}.step"].to(parameter.device)
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


@torch.no_grad()
def restore_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the weights of `training_tensors` back. Raises CheckpointError where they belong to another model."""
    kept = model.state_dict()
    places = dict(model.named_parameters()) | {name: b for name, b in model.named_buffers() if name in kept}
    for name, place in places.items():
        saved = tensors.get(f"model.{name}")
        if saved is None or saved.shape != local(place).shape:
            raise CheckpointError(
                f"the save does not fit the model: {name} is {'missing' if saved is None else 'of another shape'}"
            )
        local(place).copy_(saved)
