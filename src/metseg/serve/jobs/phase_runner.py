"""One phase of one study, as a worker does it: claimed in the records, told as it goes, ended well or with a reason."""

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
from metseg.schemas import Phase
from metseg.serve.jobs.claim import Claim, Interrupted
from metseg.serve.jobs.heartbeat import Lease
from metseg.serve.jobs.phases.job import Job, JobCache, Outcome
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.jobs.phases.phase_table import run_phase
from metseg.serve.jobs.progress_watch import ProgressWatch
from metseg.serve.model_registry import choose_model
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.job_repository import Store, StudyWithdrawn, Work
from metseg.serve.storage.retention import discard_scratch

log = logging.getLogger("metseg.serve.worker")

#: What a step answers: there is more to do, or there is not, for whatever reason; the records know it.
GO_ON, OVER = "go on", "over"

#: Seconds before a database that is away is tried again: the first time, and at most.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

#: A phase looks at its deadline now and then; one that has not for so long after it never will.
STUCK_AFTER_S = 600.0

#: Reasons of `StudyWithdrawn` that are more than an end.
_DELETED, _TAKEN = "deleted", "claimed by another"


@dataclass(frozen=True)
class Tools:
    """What a worker has.

    Args:
        store: the records.
        token: proves to the records who writes.
        models: those in memory.
        is_given: whether DBOS has a study's workflow given to this worker.
        lease: whether others may have taken this worker for dead.
        stop: set when the worker is to end.
    """

    store: Store
    token: str
    models: Models
    is_given: Callable[[str], bool]
    lease: Lease
    stop: threading.Event


class PhaseRunner:
    """Where a worker works on studies, one phase at a time."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._store = tools.store
        self._cache = JobCache()
        self._one_at_a_time = threading.Lock()
        self._open: list[Claim] = []

    @property
    def open_studies(self) -> frozenset[str]:
        """Return the studies that this process is working on."""
        return frozenset(hold.study_id for hold in tuple(self._open))

    @property
    def is_stuck(self) -> bool:
        """Return whether a study takes so long that its thread, which should have ended it, will not come back."""
        longest_s = self._store.settings.study_deadline_s + STUCK_AFTER_S
        return any(time.monotonic() - hold.begun > longest_s for hold in tuple(self._open))

    @contextmanager
    def opened(self, study_id: str) -> Iterator[Claim]:
        """Note that a study is being worked on, and give what `do` asks for."""
        tools = self._tools
        hold = Claim(study_id, lease=tools.lease, stop=tools.stop, is_given=tools.is_given)
        self._open.append(hold)
        try:
            yield hold
        finally:
            self._open.remove(hold)

    def do(self, hold: Claim, phase: Phase) -> str:
        """Do a phase and tell the records; may be repeated.

        Args:
            hold: the study, from `opened`.
            phase: those before it are done.
        Returns:
            `GO_ON`, or `OVER` where the study has ended: failed, cancelled, deleted, finished before.
        Raises:
            Interrupted: the worker ends, or the study is not its own any more.
        """
        return self._patiently(hold, lambda work: self._do(work, phase, hold))

    def finish(self, hold: Claim) -> str:
        """End a study well, and remove what was needed for it only; may be repeated."""
        return self._patiently(hold, self._finish)

    def _patiently(self, hold: Claim, action: Callable[[Work], str]) -> str:
        """Claim a study and do something with it; where the database is away, wait for it and do it again."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                with self._one_at_a_time:
                    hold.require()
                    return action(self._store.claim(hold.study_id, self._tools.token))
            except StudyWithdrawn as withdrawn:
                return self._withdrawn(hold.study_id, withdrawn)
            except (OperationalError, InterfaceError) as error:
                log.warning("the database does not answer (%s): again in %.1f s", type(error).__name__, pause_s)
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
            log.exception("study %s: a mistake in the phase %s", work.study_id, phase)
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
        """End the work on a study that is no longer ours.

        Where another process has claimed it, one of the two was taken for dead. Which one, only DBOS knows: it takes
        the outcome of a step from the process that it gave the workflow to last, and from no other. So this one leaves
        no outcome; if the workflow is its own, it is found open and not worked on, and begun again.
        """
        log.info("study %s: withdrawn, %s", study_id, withdrawn.reason)
        if withdrawn.reason == _TAKEN:
            raise Interrupted from withdrawn
        if withdrawn.reason == _DELETED:
            self._store.folders.remove(study_id)  # a step may have written after it was removed
        return self._over(study_id)

    def _over(self, study_id: str) -> str:
        """Remove what nobody needs when a study has ended, from memory and disk."""
        self._cache.clear()
        discard_scratch(self._store.folders, study_id, inputs=self._store.settings.discard_inputs)
        return OVER

    def _job(self, work: Work, phase: Phase, hold: Claim) -> Job:
        """Return what a phase is given."""
        watch = ProgressWatch(self._store, work, phase, left_s=self._left_s(work), hold=hold)
        return Job(
            study_id=work.study_id,
            folder=work.folder,
            uploads=work.inputs,
            model=work.options.model or choose_model(self._store.settings, work.kind, None),
            options=work.options,
            models=self._tools.models,
            cache=self._cache,
            artifact=partial(self._store.artifact, work),
            on_share=watch,
        )

    def _left_s(self, work: Work) -> float:
        """Return how many seconds a study may still take."""
        with self._store.database.read() as session:
            record = session.get_one(StudyRecord, work.study_id)
            begun = record.started_at or record.created_at
        return self._store.settings.study_deadline_s - (self._store.clock() - begun).total_seconds()


def _tell(store: Store, work: Work, phase: Phase, outcome: Outcome) -> None:
    """Put the outcome of a phase into the records; the same again changes nothing."""
    store.add_facts(work, **outcome.facts, timings_s={str(phase): outcome.elapsed_s})
    store.set_warnings(work, phase, outcome.warnings)
    if outcome.lesions is not None:
        store.set_lesions(work, [Lesion.model_validate(lesion) for lesion in outcome.lesions])
    store.progress(work, phase, 1.0)


def _mistake() -> MetsegError:
    return MetsegError(
        "the service made a mistake with this study",
        cure="tell whoever runs the service the id of the study: the log says where it happened",
    )
