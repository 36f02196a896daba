"""What a worker is called: a name that is the same after a restart, and that no other has meanwhile."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from metseg.errors import LockedError


def machine_name() -> str:
    """Return the name of this machine as a worker may be called."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:64] or "worker"


def machine_mark() -> str:
    """Return what tells this machine from others, and does not tell its name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:16]


@contextmanager
def only_one(locks: Path, worker_id: str) -> Iterator[None]:
    """Hold the lock of a worker's name; it falls with the process, however that ends."""
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(locks / f"{worker_id}.{machine_mark()}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise name_taken(worker_id) from None
    try:
        yield
    finally:
        lock.release()


def name_taken(worker_id: str) -> LockedError:
    """Return the error for a second worker of one name."""
    return LockedError(
        "a worker of this name is at work",
        where=f"worker {worker_id}",
        cure="give this one another name with --name or METSEG_WORKER_ID, or end the other",
        code="locked.worker",
    )
