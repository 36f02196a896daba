"""A study in the hands of this process, and whether it still is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from metseg.serve.jobs.heartbeat import Lease


class Interrupted(BaseException):
    """The work stops here; somebody, somewhere, does it again later.

    Not an Exception: what is one becomes the outcome of a step, and interrupted work has no outcome.
    """


class Claim:
    """Asked again and again while a study is worked on.

    Args:
        study_id: which.
        lease: of this worker.
        stop: set when the worker is to end.
        is_given: whether DBOS still has the study's workflow given to this worker.
    """

    def __init__(self, study_id: str, *, lease: Lease, stop: threading.Event, is_given: Callable[[str], bool]) -> None:
        self.study_id = study_id
        self.begun = time.monotonic()
        self._lease = lease
        self._stop = stop
        self._is_given = is_given
        self._lapses = lease.lapses

    def require(self) -> None:
        """Raise `Interrupted` where the worker ends, or was taken for dead and the study given to another.

        A heartbeat that came late is no reason by itself: a machine that is too busy for it is too busy to begin anew.
        """
        if self._stop.is_set():
            raise Interrupted
        lapses = self._lease.lapses
        if lapses != self._lapses:
            if not self._is_given(self.study_id):
                raise Interrupted
            self._lapses = lapses
