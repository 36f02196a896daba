"""Progress callback of a phase: store the progress, and stop work that is cancelled or too slow."""

from __future__ import annotations

import time

from sqlalchemy.exc import DBAPIError

from metseg.errors import ResourceError
from metseg.schemas import Phase
from metseg.serve.jobs.claim import Claim
from metseg.serve.storage.job_repository import Store, Work

#: Seconds between two updates of the database.
TELL_EVERY_S = 1.0


class ProgressWatch:
    """Callback for the progress of a phase.

    Args:
        store: repository of studies.
        work: the claimed study.
        phase: the phase in work.
        left_s: seconds that the study may still take.
        hold: claim of this process on the study.
    """

    def __init__(self, store: Store, work: Work, phase: Phase, *, left_s: float, hold: Claim) -> None:
        self._store = store
        self._work = work
        self._phase = phase
        self._deadline = time.monotonic() + left_s
        self._hold = hold
        self._told = -TELL_EVERY_S

    def __call__(self, share: float) -> None:
        """Report the progress of the phase, 0 to 1.

        Raises:
            Interrupted: see `Claim.require`.
            StudyWithdrawn: the study was cancelled, deleted, or claimed by another worker.
            ResourceError: ``resources.time``.
        """
        self._hold.require()
        now = time.monotonic()
        if now > self._deadline:
            raise ResourceError(
                "the analysis takes too long",
                expected=f"at most {self._store.settings.study_deadline_s:.0f} s",
                cure="upload a smaller study, or choose a smaller model",
                code="resources.time",
            )
        if now - self._told < TELL_EVERY_S:
            return
        self._told = now
        try:
            self._store.progress(self._work, self._phase, share)
        except DBAPIError:
            # Minutes of computation are not discarded because one progress update failed.
            return
