"""What the machine is, and what it lets this process use: a duration means nothing without it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

CPU_FACTS = Path("/proc/cpuinfo")


def processors() -> int:
    """Return on how many processors this process may run.

    Containers, batch systems and ``taskset`` give a process fewer than the machine has; ``os.cpu_count`` does not see
    that, and as many processes as it says would wait for one another.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Return the processor's name; Python itself knows it on few systems."""
    if CPU_FACTS.exists():
        for line in CPU_FACTS.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_facts() -> dict[str, str]:
    """Return processor, memory and Python, each as a person would write it; nothing that names a machine or a user."""
    import psutil

    return {
        "processor": f"{processor_name()}, {processors()} {'core' if processors() == 1 else 'cores'}",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "python": platform.python_version(),
    }


def machine_line(machine: Mapping[str, str]) -> str:
    """Return facts of a machine on one line.

    >>> machine_line({"processor": "X, 2 cores", "device": "cpu"})
    'X, 2 cores; device cpu'
    """
    return "; ".join(value if fact == "processor" else f"{fact} {value}" for fact, value in machine.items())
