"""What the machine lets this process use."""

from __future__ import annotations

import os


def processors() -> int:
    """Return on how many processors this process may run.

    Containers, batch systems and ``taskset`` give a process fewer than the machine has; ``os.cpu_count`` does not see
    that, and as many processes as it says would wait for one another.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
