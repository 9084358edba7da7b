"""Freed memory is taken again without a page fault, and given back when asked for."""

import subprocess
import sys

import pytest

from paddock.memory import keep_freed_memory

FAULTS = """
import ctypes, resource, sys
from paddock.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def use(size):
    for place in [libc.malloc(size) for _ in range(4)]:
        libc.memset(place, 1, size)
        libc.free(place)

use(31 * 1024**2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use(31 * 1024**2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    """Page faults of taking, filling and freeing four blocks of 31 MiB, five times over."""
    command = [sys.executable, "-c", FAULTS, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_freed_memory_is_taken_again_without_faults() -> None:
    assert faults("keep") < 0.05 * faults("as it comes")


HOLES = """
import ctypes
from pathlib import Path
from paddock.memory import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096
places = [libc.malloc(2**20) for _ in range(200)]
for place in places:
    libc.memset(place, 1, 2**20)
for place in places[::2]:
    libc.free(place)
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_holes_between_blocks_in_use_are_given_back() -> None:
    command = [sys.executable, "-c", HOLES]
    given_back = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert given_back > 90 * 2**20
