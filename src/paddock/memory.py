"""Freed memory stays with the process while a stage runs, so that its next step need not ask for it again; and then goes."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
LARGEST_MMAP_THRESHOLD = 32 * 1024**2  # what glibc accepts on 64 bits: larger blocks are always given back
TRIM_THRESHOLD = 2**31 - 1  # an int: as much as can be said
TOP_PAD = 64 * 1024**2


def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed, in blocks of up to 32 MiB. Returns whether it does: only glibc can.

    A step of a small model frees and takes the same blocks again. glibc gives them back to the system in between, which must
    then clear each page anew: 72,000 page faults a second in pretraining the miniature model, an eighth of its time.
    """
    libc = glibc()
    if libc is None:
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD), (M_TRIM_THRESHOLD, TRIM_THRESHOLD), (M_TOP_PAD, TOP_PAD))
    return all(libc.mallopt(name, value) == 1 for name, value in settings)


def give_back_freed_memory() -> None:
    """Give all that is free back to the system, where the C library is glibc.

    Tensors of many sizes leave holes between what lives on: a run of the miniature's recipe came to hold 5 GB.
    """
    libc = glibc()
    if libc is not None:
        libc.malloc_trim(0)


def glibc() -> ctypes.CDLL | None:
    """The C library that this process has; None where it is another one, such as musl."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if libc is not None and hasattr(libc, "mallopt") else None
