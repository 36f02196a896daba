"""Run one phase of one study: claim it, report progress, and record success or failure."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import InterfaceError, OperationalError

from metseg.errors import MetsegError
from metseg.lesion import Lesion
from metseg.schemas import Kind, Phase
from metseg.serve.jobs.claim import Claim, Interrupted
from metseg.serve.jobs.heartbeat import Lease
from metseg.serve.jobs.phases.job import Job, JobCache, Outcome
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.jobs.phases.phase_table import run_phase
from metseg.serve.jobs.progress_watch import ProgressWatch
from metseg.serve.model_registry import PICTURES, USES, VOLUMES, model_for
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.job_repository import Store, StudyWithdrawn, Work
from metseg.serve.storage.patient_identity import patient_hash
from metseg.serve.storage.retention import discard_scratch

log = logging.getLogger("metseg.serve.worker")

#: Results of a step: continue, or stop because the study has ended; the database has the reason.
GO_ON, OVER = "go on", "over"

#: Seconds before a failed database is tried again: first pause and longest pause.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

#: A phase that has not noticed its deadline after so many more seconds is stuck.
STUCK_AFTER_S = 600.0

#: Reasons of `StudyWithdrawn` that need extra handling.
_DELETED, _TAKEN = "deleted", "claimed by another"


@dataclass(frozen=True)
class Tools:
    """Dependencies of a worker.

    Args:
        store: repository of studies.
        token: identifies this worker in each write.
        models: cache of loaded models.
        is_given: returns whether DBOS assigns a study's workflow to this worker.
        lease: lease of this worker.
        stop: set when the worker must end.
    """

    store: Store
    token: str
    models: Models
    is_given: Callable[[str], bool]
    lease: Lease
    stop: threading.Event


class PhaseRunner:
    """Runs the phases of studies, one at a time."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store
        self._cache = JobCache()
        self._one_at_a_time = threading.Lock()
        self._open: list[Claim] = []

    @property
    def open_studies(self) -> frozenset[str]:
        """Return the ids of the studies that this process is working on."""
        return frozenset(hold.study_id for hold in tuple(self._open))

    @property
    def is_stuck(self) -> bool:
        """Return whether a study has exceeded its deadline so far that its thread must be stuck."""
        longest_s = self._store.settings.study_deadline_s + STUCK_AFTER_S
        return any(time.monotonic() - hold.begun > longest_s for hold in tuple(self._open))

    @contextmanager
    def opened(self, study_id: str) -> Iterator[Claim]:
        """Register a study as in work, and yield the claim that `do` needs."""
        tools = self._tools
        hold = Claim(study_id, lease=tools.lease, stop=tools.stop, is_given=tools.is_given)
        self._open.append(hold)
        try:
            yield hold
        finally:
            self._open.remove(hold)

    def do(self, hold: Claim, phase: Phase) -> str:
        """Run a phase and record its outcome; safe to repeat.

        Args:
            hold: claim on the study, from `opened`.
            phase: the phase; all phases before it are done.
        Returns:
            `GO_ON`, or `OVER` if the study has failed, was cancelled or deleted, or was finished before.
        Raises:
            Interrupted: the worker must end, or the study was assigned to another worker.
        """
        return self._patiently(hold, lambda work: self._do(work, phase, hold))

    def finish(self, hold: Claim) -> str:
        """Mark a study as done and remove its temporary files; safe to repeat."""
        return self._patiently(hold, self._finish)

    def _patiently(self, hold: Claim, action: Callable[[Work], str]) -> str:
        """Claim a study and run an action; while the database is down, wait and repeat."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                with self._one_at_a_time:
                    hold.require()
                    return action(self._store.claim(hold.study_id, self._tools.token))
            except StudyWithdrawn as withdrawn:
                return self._withdrawn(hold.study_id, withdrawn)
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer (%s); next attempt in %.1f s", type(error).__name__, pause_s)
            if self._tools.stop.wait(pause_s):
                raise Interrupted
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _do(self, work: Work, phase: Phase, hold: Claim) -> str:
        try:
            job = self._job(work, phase, hold)
            job.on_share(0.0)
            outcome = run_phase(phase, job)
            _tell(self._store, work, phase, outcome)
        except (StudyWithdrawn, OperationalError, InterfaceError):
            raise
        except MetsegError as error:
            return self._fail(work, error, phase)
        except Exception:
            log.exception("study %s: unexpected error in the phase %s", work.study_id, phase)
            return self._fail(work, _mistake(), phase)
        log.info("study %s: %s took %.1f s", work.study_id, phase, outcome.elapsed_s)
        return GO_ON

    def _finish(self, work: Work) -> str:
        self._store.finish(work)
        log.info("study %s: done", work.study_id)
        return self._over(work.study_id)

    def _fail(self, work: Work, error: MetsegError, phase: Phase) -> str:
        self._store.fail(work, error, phase)
        log.warning("study %s: failed in the phase %s with %s", work.study_id, phase, error.code)
        return self._over(work.study_id)

    def _withdrawn(self, study_id: str, withdrawn: StudyWithdrawn) -> str:
        """Stop the work on a study that this worker no longer holds.

        If another process has claimed it, one of the two was considered dead. Only DBOS knows which: it accepts the
        outcome of a step only from the process to which it assigned the workflow last. So this process leaves no
        outcome. If the workflow is assigned to this worker, recovery finds it without a claim and starts it again.
        """
        log.info("study %s: withdrawn, %s", study_id, withdrawn.reason)
        if withdrawn.reason == _TAKEN:
            raise Interrupted from withdrawn
        if withdrawn.reason == _DELETED:
            self._store.folders.remove(study_id)  # a step may have written files after the deletion
        return self._over(study_id)

    def _over(self, study_id: str) -> str:
        """Remove the data of an ended study that is no longer needed from memory and disk."""
        self._cache.clear()
        discard_scratch(self._store.folders, study_id, self._store.settings)
        return OVER

    def _job(self, work: Work, phase: Phase, hold: Claim) -> Job:
        """Return the input of a phase."""
        watch = ProgressWatch(self._store, work, phase, left_s=self._left_s(work), hold=hold)
        return Job(
            study_id=work.study_id,
            folder=work.folder,
            uploads=work.inputs,
            model=work.options.model or self._model_of(work),
            options=work.options,
            models=self._tools.models,
            cache=self._cache,
            artifact=partial(self._store.artifact, work),
            hash_patient=partial(patient_hash, self._store.settings.home),
            on_share=watch,
            model_reason=work.model_reason,
            dicom_exports=self._store.settings.dicom_exports,
            dicom_identity=self._store.settings.dicom_identity,
        )

    def _model_of(self, work: Work) -> str:
        """Return the model of a study that was accepted without one."""
        traits = USES[PICTURES if work.kind == Kind.PICTURE else VOLUMES]
        return str(model_for(self._store.settings, traits, None).model)

    def _left_s(self, work: Work) -> float:
        """Return the seconds left until the study's deadline."""
        with self._store.database.read() as session:
            record = session.get_one(StudyRecord, work.study_id)
            begun = record.started_at or record.created_at
        return self._store.settings.study_deadline_s - (self._store.clock() - begun).total_seconds()


def _tell(store: Store, work: Work, phase: Phase, outcome: Outcome) -> None:
    """Store the outcome of a phase; storing it again changes nothing."""
    store.add_facts(work, **outcome.facts, timings_s={str(phase): outcome.elapsed_s})
    store.set_warnings(work, phase, outcome.warnings)
    if outcome.patient_hash:
        store.set_patient(work, outcome.patient_hash)
    if outcome.lesions is not None:
        store.set_lesions(work, [Lesion.model_validate(lesion) for lesion in outcome.lesions])
    store.progress(work, phase, 1.0)


def _mistake() -> MetsegError:
    return MetsegError(
        "an unexpected error occurred in the service",
        cure="tell the administrator the id of the study; the log shows where the error occurred",
    )
