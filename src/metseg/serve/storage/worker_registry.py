"""Heartbeats: which workers there are, and which have gone silent."""

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
    """The workers as the records know them.

    Args:
        database: from `open_database`.
        settings: say how long a worker may be silent.
        clock: what time it is. Machines whose clocks differ by more than `dead_after_s` take each other for dead.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.settings = settings
        self.clock = clock

    def beat(self, worker_id: str, incarnation: str, facts: dict[str, Any] | None = None) -> bool:
        """Say that a worker is alive; return False where another life of the same name took its place.

        Args:
            worker_id: stable over restarts.
            incarnation: told anew at each start; a later one takes the place of an earlier.
            facts: for people; no names.
        """
        moment = self.clock()
        with self.database.write() as session:
            record = session.get(WorkerRecord, worker_id, with_for_update=True)
            if record is None or record.incarnation != incarnation:
                return False
            record.beat_at, record.facts = moment, facts or record.facts
            return True

    def enter(self, worker_id: str, incarnation: str, facts: dict[str, Any] | None = None) -> bool:
        """Announce a worker; return False where another process of that name is alive."""
        try:
            return self._enter(worker_id, incarnation, facts or {})
        except IntegrityError:  # two began at the same moment, and the other was first
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
        """Take a worker out that ends as it should; what it had open is free to be resumed at once."""
        gone = sa.delete(WorkerRecord).where(WorkerRecord.id == worker_id, WorkerRecord.incarnation == incarnation)
        with self.database.write() as session:
            session.execute(gone)

    def alive(self) -> list[str]:
        """Return the names of the workers whose heartbeat is recent."""
        return self._names(WorkerRecord.beat_at > self.clock() - self._patience())

    def silent(self) -> list[str]:
        """Return the names of the workers whose heartbeat stopped."""
        return self._names(WorkerRecord.beat_at <= self.clock() - self._patience())

    def _patience(self) -> timedelta:
        return timedelta(seconds=self.settings.dead_after_s)

    def _names(self, condition: sa.ColumnElement[bool]) -> list[str]:
        query = sa.select(WorkerRecord.id).where(condition).order_by(WorkerRecord.id)
        with self.database.read() as session:
            return list(session.scalars(query))
