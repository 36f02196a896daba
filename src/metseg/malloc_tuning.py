"""Whether memory that has been freed goes back to the system: what glibc, the C library of most Linux systems, is told.

By itself it learns from what is freed: blocks of up to 32 MB then come from a heap, whose holes stay where they are,
and larger ones from the system each time, which clears every page of them. On other systems nothing here has an effect.
"""

from __future__ import annotations

import ctypes
import os
import platform

#: Of `mallopt`. Larger blocks are fetched from the system by themselves, and given back when freed.
M_MMAP_THRESHOLD = -3
#: So much free memory at the end of the heap is left there.
M_TRIM_THRESHOLD = -1


def keep_freed_memory() -> None:
    """Let this process keep what it frees, for the next step of a training to use.

    Clearing pages took 10 to 20 % of a training step on a CPU, measured with U-Net, U-Net++ and Attention U-Net.
    """
    _tell_glibc({M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1})


def give_back_freed_memory() -> None:
    """Let this process hold little more than it uses, for predictions; called before torch makes its first tensor.

    Windows of a volume left holes in the heap that were half as large as what they used. Pages of 2 MB, which torch
    asks for then, make up for most of the clearing: `docs/experiments.md` has the figures.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _tell_glibc({M_MMAP_THRESHOLD: 2**20, M_TRIM_THRESHOLD: 2**20})


def _tell_glibc(settings: dict[int, int]) -> None:
    """Set what glibc accepts; an old one that refuses a value goes on as it was, which is right and only slower."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for setting, value in settings.items():
            library.mallopt(setting, value)
