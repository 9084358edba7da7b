"""Several processes on one model: start under `torchrun`, FSDP2 sharding from outside the model, gathering at the end.

Every rank sees the same global batch and takes its share of the rows; gradients and losses are summed over the ranks, and
only the optimizer step divides, by the tokens of all ranks. So the loss does not depend on how many ranks there are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from paddock.errors import SettingsError
from paddock.model.blueprint import AnyTrunk, Blueprint
from paddock.model.heads import ScalarHead
from paddock.model.transformer import Block
from paddock.train.precision import choose_precision
from paddock.train.settings import TrainingSettings

T = TypeVar("T")

SECONDS_TO_LET_GO = 0.1
# The other ranks wait while the first one encodes the data; a dead rank is torchrun's to notice.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, as one of them sees it: its own number, how many there are, and its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over all ranks, on each of them; in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: T) -> list[T]:
        """Every rank's `value`, in the order of ranks, on each of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_first(self, value: T) -> T:
        """The first rank's `value`, on each of them."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def wait(self) -> None:
        """Go on when every rank has come so far."""
        if self.size > 1:
            dist.barrier()

    def share(self, rows: int, name: str = "batch_size") -> range:
        """This rank's part of `rows` rows, as the setting `name` asks. Raises SettingsError where ranks do not divide it."""
        if rows % self.size:
            raise SettingsError(f"{name} {rows} must be a multiple of the number of processes, {self.size}")
        part = rows // self.size
        return range(self.rank * part, (self.rank + 1) * part)


@contextmanager
def processes() -> Iterator[Ranks]:
    """Join the processes that `torchrun` started (gloo on processors, nccl on GPUs), or be the only one.

    Within another such block this joins nothing anew: a whole run is one group, and each of its stages too.
    """
    size, local_rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield Ranks(0, 1, device)
        return
    if dist.is_initialized():
        yield Ranks(dist.get_rank(), size, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), size, device)
        dist.barrier()
    finally:
        dist.destroy_process_group()
        # gloo's threads free the last tensors under Python's lock, and abort a process that ends meanwhile.
        time.sleep(SECONDS_TO_LET_GO)


def build(blueprint: Blueprint[AnyTrunk], settings: TrainingSettings, ranks: Ranks) -> AnyTrunk:
    """The model of `blueprint` with its weights, on the ranks' devices.

    Where there are several, it is divided before it has weights, and no rank ever holds more than its rows of a parameter.
    """
    if ranks.size > 1:
        shard(blueprint.model, ranks, choose_precision(settings.precision, ranks.device))
    return blueprint.build(ranks.device, local_rows)


def shard(model: nn.Module, ranks: Ranks, precision: torch.dtype) -> None:
    """Divide the weights of `model`, block by block, among the ranks (FSDP2), with gradients summed rather than averaged.

    `precision` is what matrices are multiplied in; scalar heads, the shards and the reduction of gradients stay float32.
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    parts = [module for module in model.modules() if isinstance(module, Block | ScalarHead)]
    for module in (*parts, model):
        policy = MixedPrecisionPolicy(
            param_dtype=torch.float32 if isinstance(module, ScalarHead) else precision,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        # An evaluation has no backward pass to reshard the root after it: so it reshards after its forward pass.
        sharded = fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
        assert isinstance(sharded, FSDPModule)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)  # gloo has no operation that scales as it sums


def is_divided(model: nn.Module) -> bool:
    """Whether the weights of `model` are divided among ranks."""
    return isinstance(model, FSDPModule)


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor: the tensor itself where it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def local_rows(tensor: Tensor) -> tuple[int, Tensor]:
    """The number of this rank's first row of a tensor, and its rows: every rank but the last ones has the same number."""
    if not isinstance(tensor, DTensor):
        return 0, tensor
    most = -(-tensor.shape[0] // tensor.device_mesh.size())
    return min(tensor.device_mesh.get_local_rank() * most, tensor.shape[0]), tensor.to_local()


def whole_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every weight of a sharded model, whole and by name, one after another. A collective: every rank must take them all."""
    for name, tensor in model.state_dict().items():
        yield name, (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def whole_state(model: nn.Module, ranks: Ranks) -> dict[str, Tensor]:
    """The whole weights of a sharded model, by name, on the first rank's processor; on the others, nothing.

    A collective: every rank must call it.
    """
    return {name: tensor.cpu() for name, tensor in whole_tensors(model) if ranks.is_first}
