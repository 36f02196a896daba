"""Name of a worker: stable over restarts, and unique at any time."""

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
    """Return the name of this machine, in the format of a worker's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", platform.node())[:64] or "worker"


def machine_mark() -> str:
    """Return a hash of this machine's name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:16]


@contextmanager
def only_one(locks: Path, worker_id: str) -> Iterator[None]:
    """Hold the lock of a worker's name; the system releases it when the process ends."""
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(locks / f"{worker_id}.{machine_mark()}.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise name_taken(worker_id) from None
    try:
        yield
    finally:
        lock.release()


def name_taken(worker_id: str) -> LockedError:
    """Return the error for a second worker with the same name."""
    return LockedError(
        "a worker with this name is already running",
        where=f"worker {worker_id}",
        cure="choose another name with --name or METSEG_WORKER_ID, or stop the other worker",
        code="locked.worker",
    )
