"""Registry of workers and their heartbeats."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from metseg.serve.settings import Settings
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import WorkerRecord
from metseg.serve.storage.job_repository import Clock, now


class Workers:
    """Registry of workers.

    Args:
        database: from `open_database`.
        settings: settings with `dead_after_s`.
        clock: returns the time. With clocks that differ by more than `dead_after_s`, machines consider each other dead.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.settings = settings
        self.clock = clock

    def beat(self, worker_id: str, incarnation: str, facts: dict[str, Any] | None = None) -> bool:
        """Store a heartbeat; return False if another run of the same worker has replaced this one.

        Args:
            worker_id: name of the worker, stable over restarts.
            incarnation: random for each start; a later one replaces an earlier one.
            facts: information for administrators, without personal data.
        """
        moment = self.clock()
        with self.database.write() as session:
            record = session.get(WorkerRecord, worker_id, with_for_update=True)
            if record is None or record.incarnation != incarnation:
                return False
            record.beat_at, record.facts = moment, facts or record.facts
            return True

    def enter(self, worker_id: str, incarnation: str, facts: dict[str, Any] | None = None) -> bool:
        """Register a worker; return False if another process with its name is alive."""
        try:
            return self._enter(worker_id, incarnation, facts or {})
        except IntegrityError:  # two started at the same time, and the other was first
            return False

    def _enter(self, worker_id: str, incarnation: str, facts: dict[str, Any]) -> bool:
        moment = self.clock()
        with self.database.write() as session:
            record = session.get(WorkerRecord, worker_id, with_for_update=True)
            if record is not None and record.beat_at > moment - self._patience():
                return False
            if record is not None:
                session.delete(record)
                session.flush()
            session.add(
                WorkerRecord(id=worker_id, incarnation=incarnation, started_at=moment, beat_at=moment, facts=facts)
            )
            return True

    def leave(self, worker_id: str, incarnation: str) -> None:
        """Unregister a worker that ends normally; other workers can resume its studies at once."""
        gone = sa.delete(WorkerRecord).where(WorkerRecord.id == worker_id, WorkerRecord.incarnation == incarnation)
        with self.database.write() as session:
            session.execute(gone)

    def alive(self) -> list[str]:
        """Return the names of the workers with a recent heartbeat."""
        return self._names(WorkerRecord.beat_at > self.clock() - self._patience())

    def silent(self) -> list[str]:
        """Return the names of the workers without a recent heartbeat."""
        return self._names(WorkerRecord.beat_at <= self.clock() - self._patience())

    def _patience(self) -> timedelta:
        return timedelta(seconds=self.settings.dead_after_s)

    def _names(self, condition: sa.ColumnElement[bool]) -> list[str]:
        query = sa.select(WorkerRecord.id).where(condition).order_by(WorkerRecord.id)
        with self.database.read() as session:
            return list(session.scalars(query))
