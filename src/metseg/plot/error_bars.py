"""Values with intervals, for error bars and bands. Intervals are computed in `metseg.evaluation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class ErrorBounds(NamedTuple):
    """A value with the ends of its interval; None without an interval, as with a single patient."""

    value: float
    low: float | None = None
    high: float | None = None


def error_bars(bounds: Sequence[ErrorBounds]) -> npt.NDArray[np.float64]:
    """Return the lengths of each bar below and above its value, (2, N), for ``Axes.errorbar``.

    Rounding can put a value slightly outside its interval; negative lengths are set to 0.

    >>> error_bars([ErrorBounds(0.5, 0.25, 1.0), ErrorBounds(0.7)]).tolist()
    [[0.25, 0.0], [0.5, 0.0]]
    """
    below = [0.0 if one.low is None else max(0.0, one.value - one.low) for one in bounds]
    above = [0.0 if one.high is None else max(0.0, one.high - one.value) for one in bounds]
    return np.array([below, above], dtype=np.float64).reshape(2, len(bounds))
