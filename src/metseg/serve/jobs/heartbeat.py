"""Heartbeats of a worker, and its lease: how long it may assume that its studies were not reassigned."""

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
    """Tracks whether this worker's studies may have been reassigned.

    When heartbeats fail (the database is down, the machine was asleep), other workers consider this one dead after a
    while and take its studies. The worker gets no notice of that, so it measures the time itself. Work that started
    before a lapse must be checked; the number of lapses shows this.

    Args:
        length_s: seconds for which the lease is valid after a heartbeat.
        clock: returns seconds, including time asleep where the system has such a clock.
    """

    def __init__(self, length_s: float, *, clock: Seconds | None = None) -> None:
        self._length_s = length_s
        self._clock = clock or _seconds
        self._lock = threading.Lock()
        self._renewed = self._clock()
        self._lapses = 0

    def renew(self) -> None:
        """Renew the lease after a heartbeat."""
        with self._lock:
            self._count()
            self._renewed = self._clock()

    @property
    def lapses(self) -> int:
        """Return how often the lease has lapsed so far, including now."""
        with self._lock:
            self._count()
            return self._lapses

    def _count(self) -> None:
        if self._clock() - self._renewed > self._length_s:
            self._lapses += 1
            self._renewed = self._clock()


def _seconds() -> float:
    """Return seconds since the system started, including time asleep where possible."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class Heartbeat:
    """Writes a heartbeat at regular intervals in a separate thread.

    Args:
        workers: registry of workers.
        worker_id, incarnation: identity of this worker.
        interval_s: seconds between two heartbeats.
        lease: renewed by each heartbeat.
        facts: returns information for administrators.
        on_replaced: called when another process has taken this worker's name.
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
                    log.error("another process uses the name of this worker; this worker ends")
                    self._on_replaced()
                    return
                self._lease.renew()
            except (SQLAlchemyError, OSError, MemoryError) as error:
                log.warning("no heartbeat: %s", type(error).__name__)
