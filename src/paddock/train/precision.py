"""How a model is run: in which precision, and compiled or not."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

from paddock.errors import SettingsError

COMPILERS = ("g++", "clang++", "c++")
THREAD_FLOPS = 1e11  # a second, of one thread with AVX-512 in training (6e10 in f32, 1.2e11 in bf16): for the estimate alone
GPU_FLOPS = 1e14
SECONDS_TO_REPAY_COMPILING = 200.0  # it takes 10-20 s, and makes a step 7-10% faster


def choose_precision(wanted: Literal["auto", "f32", "bf16"], device: torch.device) -> torch.dtype:
    """What matrices are multiplied in; auto: bfloat16 where the processor or GPU multiplies it natively."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    features = torch.cpu.get_capabilities()
    return torch.bfloat16 if features.get("avx512_bf16") or features.get("amx_bf16") else torch.float32


def choose_compiling(wanted: Literal["auto", "on", "off"], device: torch.device, seconds: float) -> tuple[bool, str]:
    """Whether to compile a run estimated to take `seconds` eagerly, and a line that says why.

    It depends on the whole run, not on what is left of it: a resumed run must take the same path. Raises SettingsError where
    `on` cannot be.
    """
    if wanted == "off":
        return False, "eager: compile is off"
    if device.type == "cpu" and not any(shutil.which(name) for name in COMPILERS):
        if wanted == "on":
            raise SettingsError(
                f"compile is on, and there is no C++ compiler ({', '.join(COMPILERS)}): install one, or set it to auto"
            )
        return False, "eager: there is no C++ compiler to compile with"
    if wanted == "auto" and seconds < SECONDS_TO_REPAY_COMPILING:
        return False, f"eager: about {seconds:.0f} s of work would not repay compiling"
    return True, "compiled"


def estimate_seconds(parameters: int, tokens: int, device: torch.device, devices: int) -> float:
    """About how long eager training on `tokens` takes: 6 operations a parameter and token, at a typical speed."""
    speed = GPU_FLOPS if device.type == "cuda" else THREAD_FLOPS * torch.get_num_threads()
    return 6.0 * parameters * tokens / (speed * devices)


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compile each block in place: all have one code, so that it is compiled once, however deep the model."""
    for block in blocks:
        block.compile(dynamic=False)
