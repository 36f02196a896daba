"""What looks on while a phase is done: tells how far it is, and ends it where nobody wants its result any more."""

from __future__ import annotations

import time

from sqlalchemy.exc import DBAPIError

from metseg.errors import ResourceError
from metseg.schemas import Phase
from metseg.serve.jobs.claim import Claim
from metseg.serve.storage.job_repository import Store, Work

#: Seconds between two looks at the records: is the study still ours, and how far is it?
TELL_EVERY_S = 1.0


class ProgressWatch:
    """Called with the share of a phase that is done.

    Args:
        store: the records.
        work: the study, claimed.
        phase: which is done.
        left_s: how long the study may take from now on.
        hold: whether the study is still this process's to work on.
    """

    def __init__(self, store: Store, work: Work, phase: Phase, *, left_s: float, hold: Claim) -> None:
        self._store = store
        self._work = work
        self._phase = phase
        self._deadline = time.monotonic() + left_s
        self._hold = hold
        self._told = -TELL_EVERY_S

    def __call__(self, share: float) -> None:
        """Take in how far the phase is.

        Raises:
            Interrupted: see `Hold.require`.
            Withdrawn: the study was cancelled, deleted, or claimed by another.
            ResourceError: ``resources.time``.
        """
        self._hold.require()
        now = time.monotonic()
        if now > self._deadline:
            raise ResourceError(
                "the study takes too long",
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
            # Minutes of computing are not thrown away because nobody can be told of them just now.
            return
