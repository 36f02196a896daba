"""A study that this process has claimed, and the check that it still has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from metseg.serve.jobs.heartbeat import Lease


class Interrupted(BaseException):
    """The work stops here and is repeated later, in this or another worker.

    Not an Exception: DBOS stores an Exception as the outcome of a step, and interrupted work has no outcome.
    """


class Claim:
    """Claim of this worker on a study, checked repeatedly during the work.

    Args:
        study_id: id of the study.
        lease: lease of this worker.
        stop: set when the worker must end.
        is_given: returns whether DBOS still assigns the study's workflow to this worker.
    """

    def __init__(self, study_id: str, *, lease: Lease, stop: threading.Event, is_given: Callable[[str], bool]) -> None:
        self.study_id = study_id
        self.begun = time.monotonic()
        self._lease = lease
        self._stop = stop
        self._is_given = is_given
        self._lapses = lease.lapses

    def require(self) -> None:
        """Raise `Interrupted` if the worker must end, or if the study was assigned to another worker.

        A late heartbeat alone is no reason: a machine too busy for a heartbeat is too busy to start again.
        """
        if self._stop.is_set():
            raise Interrupted
        lapses = self._lease.lapses
        if lapses != self._lapses:
            if not self._is_given(self.study_id):
                raise Interrupted
            self._lapses = lapses
