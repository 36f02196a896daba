"""A worker says that it is alive, and knows when it was silent for so long that others may have taken its studies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from metseg.serve.storage.worker_registry import Workers

log = logging.getLogger("metseg.worker")

Seconds = Callable[[], float]


class Lease:
    """Whether this worker may believe that its studies are its own.

    A worker whose heartbeat fails (the database is away, the machine was asleep) is taken for dead after a while, and
    its studies are given to others. It learns nothing of that; so it counts the time itself. Work that began before a
    lapse is to be given up: the number of lapses tells.

    Args:
        length_s: how long after a heartbeat it holds.
        clock: seconds that run on while the machine sleeps, where the system has such a clock.
    """

    def __init__(self, length_s: float, *, clock: Seconds | None = None) -> None:
        self._length_s = length_s
        self._clock = clock or _seconds
        self._lock = threading.Lock()
        self._renewed = self._clock()
        self._lapses = 0

    def renew(self) -> None:
        """Take in that a heartbeat was written."""
        with self._lock:
            self._count()
            self._renewed = self._clock()

    @property
    def lapses(self) -> int:
        """Return how often the lease has lapsed so far, now included."""
        with self._lock:
            self._count()
            return self._lapses

    def _count(self) -> None:
        if self._clock() - self._renewed > self._length_s:
            self._lapses += 1
            self._renewed = self._clock()


def _seconds() -> float:
    """Return seconds since the system started, those asleep included; else those awake."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class Heartbeat:
    """Writes a heartbeat at regular times, in a thread that does nothing else.

    Args:
        workers: the records.
        worker_id, incarnation: whose.
        interval_s: between two.
        lease: renewed by each.
        facts: for people.
        on_replaced: called when another process has taken the name of this one.
    """

    def __init__(
        self,
        workers: Workers,
        worker_id: str,
        incarnation: str,
        *,
        interval_s: float,
        lease: Lease,
        facts: Callable[[], dict[str, Any]],
        on_replaced: Callable[[], None],
    ) -> None:
        self._workers = workers
        self._worker_id, self._incarnation = worker_id, incarnation
        self._interval_s = interval_s
        self._lease = lease
        self._facts = facts
        self._on_replaced = on_replaced
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._interval_s)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                if not self._workers.beat(self._worker_id, self._incarnation, self._facts()):
                    log.error("another process works under the name of this worker: it ends")
                    self._on_replaced()
                    return
                self._lease.renew()
            except (SQLAlchemyError, OSError, MemoryError) as error:
                log.warning("no heartbeat: %s", type(error).__name__)
