"""What a worker takes of the machine: it yields to whoever answers people, and it ends before the machine swaps."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

#: Read by OpenMP, MKL, OpenBLAS, NumExpr and ITK when they are loaded: they have to be set before.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)

#: Of the machine's memory, for a worker.
MEMORY_SHARE = 0.8


def yield_to_others(nice: int) -> None:
    """Lower the priority of this process for processor and disk; threads and processes to come inherit it.

    Args:
        nice: 0 (as everybody) to 19 (only what nobody else wants).
    """
    import psutil

    if hasattr(os, "setpriority"):
        # Where we run at a lower priority already, asking for a higher one would need rights.
        os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    if nice and sys.platform == "linux":
        with suppress(OSError, psutil.Error):  # containers may forbid it; then the disk is shared evenly
            psutil.Process().ionice(psutil.IOPRIO_CLASS_BE, value=7)


def limit_threads(count: int) -> None:
    """Let libraries that are loaded from here on compute with so many threads."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)


def limit_torch_threads(count: int) -> None:
    """Let torch and OpenCV compute with so many threads."""
    import cv2
    import torch

    torch.set_num_threads(count)
    with suppress(RuntimeError):  # once parallel work has begun, it is too late to say
        torch.set_num_interop_threads(1)
    cv2.setNumThreads(count)


def memory_share() -> int | None:
    """Return what a worker may take where nobody said: most of the machine's memory, or of its container's.

    With a graphics card there is no such limit: its driver reserves far more than it uses.
    """
    import psutil
    import torch

    from metseg.inference.windows.memory import CGROUPS

    if torch.cuda.is_available():
        return None
    whole = int(psutil.virtual_memory().total)
    for limit, _ in CGROUPS:
        with suppress(OSError, ValueError):  # no such file; or "max"
            whole = min(whole, int(limit.read_text()))
    return int(MEMORY_SHARE * whole)


def limit_memory(more_bytes: int) -> None:
    """Let this process take so many bytes more than it holds now; the system then says no, and the study fails.

    Without a limit the system would say yes to everything, and kill some process later on. What is limited is memory
    for data (``RLIMIT_DATA``): address space would count libraries and what threads reserve and never touch. On
    systems that know no such limit, there is none.
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
