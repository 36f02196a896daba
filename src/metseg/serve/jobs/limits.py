"""Limits of a worker: lower priority than interactive processes, number of threads, and memory."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

#: Variables that OpenMP, MKL, OpenBLAS, NumExpr, Blosc and ITK read when they are loaded; set them before.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)

#: Fraction of the machine's memory for a worker.
MEMORY_SHARE = 0.8


def yield_to_others(nice: int) -> None:
    """Lower the CPU and disk priority of this process; new threads and child processes inherit it.

    Args:
        nice: 0 (normal priority) to 19 (lowest priority).
    """
    import psutil

    if hasattr(os, "setpriority"):
        # Raising the priority of a process that already runs at a lower one would need privileges.
        os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    if nice and sys.platform == "linux":
        with suppress(OSError, psutil.Error):  # containers may forbid it; the disk is then shared equally
            psutil.Process().ionice(psutil.IOPRIO_CLASS_BE, value=7)


def limit_threads(count: int) -> None:
    """Set the number of threads of libraries that are loaded later."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)


def limit_torch_threads(count: int) -> None:
    """Set the number of threads of torch and OpenCV."""
    import cv2
    import torch

    torch.set_num_threads(count)
    with suppress(RuntimeError):  # torch refuses once parallel work has started
        torch.set_num_interop_threads(1)
    cv2.setNumThreads(count)


def memory_share() -> int | None:
    """Return the default memory limit of a worker in bytes: most of the memory of the machine or container.

    Return None with a GPU: its driver reserves far more memory than it uses.
    """
    import torch

    from metseg.runtime.system_info import memory_bytes

    return None if torch.cuda.is_available() else int(MEMORY_SHARE * memory_bytes())


def limit_memory(more_bytes: int) -> None:
    """Limit the memory that this process may allocate in addition to its present use.

    Beyond the limit, allocations fail and the study fails with an error. Without a limit, the system would grant every
    allocation and kill some process later. The limit applies to data (``RLIMIT_DATA``), because the address space also
    counts libraries and memory that threads reserve without use. Systems without this limit are not limited.
    """
    try:
        import resource

        import psutil

        held = int(psutil.Process().memory_info().data)
    except (ImportError, AttributeError):  # Windows; macOS
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
