"""Sees that every accepted study is worked on by somebody: puts new ones into the queue, and back those left behind."""

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

#: Between the moment when a workflow is given to this worker and that when it is begun. Milliseconds.
BEGINS_WITHIN_MS = 15_000

#: How often records and workflows are compared, in rounds of looking for dead workers.
COMPARE_EVERY = 6

#: A workflow that ended so leaves nobody to end its study.
_ENDED = frozenset(("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"))


class Given(Protocol):
    """A workflow that was given to a worker, as DBOS describes it."""

    workflow_id: str
    executor_id: str | None
    dequeued_at: int | None


class Jobs(Protocol):
    """What is asked of DBOS; see `metseg.serve.jobs.workflow`."""

    def dispatch(self, study_id: str) -> None: ...
    def given_workflows(self) -> Iterable[Given]: ...
    def states_of(self, study_ids: list[str]) -> Mapping[str, str]: ...
    def resume(self, study_id: str) -> None: ...


class Recovery:
    """Looks after all studies, from within each worker; most of what it does, one of the living workers does for all.

    Args:
        store, workers: the records.
        jobs: DBOS.
        worker_id: whose caretaker it is.
        open_studies: what this worker is working on.
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
        """Make a workflow for each study that has none: twice is once, for it is called as the study."""
        for study_id in self._store.waiting():
            self._jobs.dispatch(study_id)
            self._store.mark_dispatched(study_id)

    def look_after(self) -> None:
        """Put back what was left behind; now and then compare the records with what DBOS knows."""
        alive = self._workers.alive()
        leads = self._worker_id == min(alive, default="")
        self._put_back(frozenset(alive), leads=leads)
        self._rounds += 1
        if leads and self._rounds % COMPARE_EVERY == 0:
            self.compare()

    def _put_back(self, alive: frozenset[str], *, leads: bool) -> None:
        """Resume workflows whose worker is gone, and our own that nobody works on here.

        The latter are those that were interrupted when this worker had been taken for dead, and was not.
        """
        now_ms = time.time() * 1000
        for given in self._jobs.given_workflows():
            if given.executor_id == self._worker_id:
                begun_before = now_ms - (given.dequeued_at or 0) > BEGINS_WITHIN_MS
                left = begun_before and given.workflow_id not in self._open_studies()
            else:
                left = leads and given.executor_id not in alive
            if left:
                log.warning("study %s: left behind by %s, and put back", given.workflow_id, given.executor_id)
                self._jobs.resume(given.workflow_id)

    def compare(self) -> None:
        """Mend what should never be: a study that is open, and whose workflow is unknown or has ended."""
        asked = self._open_records()
        known = self._jobs.states_of(asked)
        for study_id in asked:
            if study_id not in known:
                log.warning("study %s: its workflow is lost, and made anew", study_id)
                self._jobs.dispatch(study_id)
            elif known[study_id] in _ENDED and self._store.give_up(study_id, _GIVEN_UP):
                log.error("study %s: its workflow ended as %s and left it open", study_id, known[study_id])

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
                log.warning("%s: %s, tried again", what, type(error).__name__)
            except Exception:
                log.exception("%s: a mistake, tried again", what)


_GIVEN_UP = Failure(
    code="internal",
    detail="the service lost track of this study",
    cure="upload it again, and tell whoever runs the service its id",
)
