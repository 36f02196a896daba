"""Limit the requests that one API key makes in a minute."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from metseg.serve.http.problem_details import Refused

WINDOW_S: Final = 60.0


class RateLimiter:
    """Counts the requests of each key over the last minute. One API process counts only its own.

    Args:
        per_minute: maximum number of requests of one key.
        clock: returns the time in seconds.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}

    def count(self, key: str) -> None:
        """Count a request of a key; refused requests are not counted.

        Args:
            key: name of the key; there are as many as the operator has created.
        Raises:
            Refused: ``request.rate``, with ``Retry-After``.
        """
        with self._lock:
            now = self._clock()
            times = self._times.setdefault(key, deque())
            while times and times[0] <= now - WINDOW_S:
                times.popleft()
            if len(times) < self.per_minute:
                times.append(now)
                return
            wait_s = max(1, math.ceil(times[0] + WINDOW_S - now))
        raise Refused(
            "request.rate",
            "this API key makes too many requests",
            expected=f"at most {self.per_minute} in a minute",
            cure=f"try again in {wait_s} s",
            headers={"Retry-After": str(wait_s)},
        )
