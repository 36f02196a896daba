"""Describe the machine and the processors that this process may use, so that durations can be compared."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

CPU_FACTS = Path("/proc/cpuinfo")
#: Files in which Linux states how much memory a container or a batch job may use, and uses now (cgroup 2, cgroup 1).
CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def processors() -> int:
    """Return the number of processors that this process may use.

    Containers, batch systems and ``taskset`` can restrict a process to some processors. ``os.cpu_count`` ignores this,
    and starting that many processes would make them wait for one another.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory of the machine in bytes, or the limit of the container if that is less."""
    import psutil

    whole = int(psutil.virtual_memory().total)
    for limit, _ in CGROUPS:
        with suppress(OSError, ValueError):  # no such file; or "max"
            whole = min(whole, int(limit.read_text("ascii")))
    return whole


def processor_name() -> str:
    """Return the processor's name; Python itself knows it on few systems."""
    if CPU_FACTS.exists():
        for line in CPU_FACTS.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_facts() -> dict[str, str]:
    """Return processor, memory and Python version as text, without the name of the machine or the user."""
    import psutil

    return {
        "processor": f"{processor_name()}, {processors()} {'core' if processors() == 1 else 'cores'}",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "python": platform.python_version(),
    }


def machine_line(machine: Mapping[str, str]) -> str:
    """Return the facts about a machine on one line.

    >>> machine_line({"processor": "X, 2 cores", "device": "cpu"})
    'X, 2 cores; device cpu'
    """
    return "; ".join(value if fact == "processor" else f"{fact} {value}" for fact, value in machine.items())
