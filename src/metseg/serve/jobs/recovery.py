"""Ensure that every accepted study is processed: enqueue new studies, and requeue those of dead workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from metseg.schemas import Failure, State
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.job_repository import Store
from metseg.serve.storage.worker_registry import Workers

log = logging.getLogger("metseg.serve.worker")

#: Maximum milliseconds between the assignment of a workflow to this worker and its start.
BEGINS_WITHIN_MS = 15_000

#: Number of checks for dead workers between two comparisons of the database with DBOS.
COMPARE_EVERY = 6

#: Final states of a workflow; a study that is still open then would never end.
_ENDED = frozenset(("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"))


class Given(Protocol):
    """A workflow assigned to a worker, as DBOS describes it."""

    workflow_id: str
    executor_id: str | None
    dequeued_at: int | None


class Jobs(Protocol):
    """Functions of DBOS that recovery needs; see `metseg.serve.jobs.workflow`."""

    def dispatch(self, study_id: str) -> None: ...
    def given_workflows(self) -> Iterable[Given]: ...
    def states_of(self, study_ids: list[str]) -> Mapping[str, str]: ...
    def resume(self, study_id: str) -> None: ...


class Recovery:
    """Recovers studies. It runs in each worker; one of the live workers does most of the work for all.

    Args:
        store, workers: repositories of studies and workers.
        jobs: interface to DBOS.
        worker_id: id of this worker.
        open_studies: returns the studies in work in this worker.
    """

    def __init__(
        self,
        store: Store,
        workers: Workers,
        jobs: Jobs,
        *,
        worker_id: str,
        open_studies: Callable[[], frozenset[str]],
    ) -> None:
        self._store = store
        self._workers = workers
        self._jobs = jobs
        self._worker_id = worker_id
        self._open_studies = open_studies
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(what, action, interval_s), name=what, daemon=True)
            for what, action, interval_s in (
                ("dispatching", self.dispatch_waiting, store.settings.poll_s),
                ("looking after workers", self.look_after, store.settings.heartbeat_s),
            )
        ]
        self._rounds = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5.0)

    def dispatch_waiting(self) -> None:
        """Create a workflow for each study without one. Repeating is safe: the workflow has the id of the study."""
        for study_id in self._store.waiting():
            self._jobs.dispatch(study_id)
            self._store.mark_dispatched(study_id)

    def look_after(self) -> None:
        """Requeue abandoned studies; every few rounds compare the database with DBOS."""
        alive = self._workers.alive()
        leads = self._worker_id == min(alive, default="")
        self._put_back(frozenset(alive), leads=leads)
        self._rounds += 1
        if leads and self._rounds % COMPARE_EVERY == 0:
            self.compare()

    def _put_back(self, alive: frozenset[str], *, leads: bool) -> None:
        """Resume workflows of dead workers, and those of this worker that are not in work.

        The latter were interrupted when this worker was wrongly considered dead.
        """
        now_ms = time.time() * 1000
        for given in self._jobs.given_workflows():
            if given.executor_id == self._worker_id:
                begun_before = now_ms - (given.dequeued_at or 0) > BEGINS_WITHIN_MS
                left = begun_before and given.workflow_id not in self._open_studies()
            else:
                left = leads and given.executor_id not in alive
            if left:
                log.warning("study %s: abandoned by %s; queued again", given.workflow_id, given.executor_id)
                self._jobs.resume(given.workflow_id)

    def compare(self) -> None:
        """Repair open studies with an unknown or ended workflow, which should not occur."""
        asked = self._open_records()
        known = self._jobs.states_of(asked)
        for study_id in asked:
            if study_id not in known:
                log.warning("study %s: its workflow is missing; a new one is created", study_id)
                self._jobs.dispatch(study_id)
            elif known[study_id] in _ENDED and self._store.give_up(study_id, _GIVEN_UP):
                log.error("study %s: its workflow ended as %s without ending the study", study_id, known[study_id])

    def _open_records(self) -> list[str]:
        """Return the studies that should have a workflow."""
        query = sa.select(StudyRecord.id).where(
            StudyRecord.state.in_((State.QUEUED, State.RUNNING)),
            StudyRecord.dispatched_at.is_not(None),
            StudyRecord.deleted_at.is_(None),
        )
        with self._store.database.read() as session:
            return list(session.scalars(query))

    def _repeat(self, what: str, action: Callable[[], None], interval_s: float) -> None:
        while not self._stop.wait(interval_s):
            try:
                action()
            except (SQLAlchemyError, OSError, MemoryError) as error:
                log.warning("%s: %s; will try again", what, type(error).__name__)
            except Exception:
                log.exception("%s: unexpected error; will try again", what)


_GIVEN_UP = Failure(
    code="internal",
    detail="the processing of this study was lost",
    cure="upload it again, and tell the administrator its id",
)
