"""The value of a metric if the truth, the prediction or both are empty. All metrics use this definition.

Both empty: the prediction is right, so overlap 1, distance 0, surface overlap 1.
One of the two empty: overlap 0, surface overlap 0, distance = the protocol's penalty.
No value is ever NaN, so none can drop out of a mean (a NaN distance of a missed lesion would *improve* the mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class Emptiness(Enum):
    """Which of truth and prediction are empty in the region."""

    NEITHER = "neither"
    TRUTH = "truth"
    PREDICTION = "prediction"
    BOTH = "both"

    @classmethod
    def of(cls, truth_size: float, predicted_size: float) -> Emptiness:
        """Return the kind from the two sizes, in any unit.

        >>> Emptiness.of(0, 12)
        <Emptiness.TRUTH: 'truth'>
        """
        return _BY_PRESENCE[bool(truth_size), bool(predicted_size)]


_BY_PRESENCE = {
    (True, True): Emptiness.NEITHER,
    (False, True): Emptiness.TRUTH,
    (True, False): Emptiness.PREDICTION,
    (False, False): Emptiness.BOTH,
}


class Kind(Enum):
    """The kinds of metrics with a fixed value for empty masks."""

    OVERLAP = "overlap"
    SURFACE_OVERLAP = "surface overlap"
    DISTANCE = "distance"


#: Kind of figure -> (both empty, one empty); None: the penalty of the protocol.
EMPTY_VALUES: Mapping[Kind, tuple[float, float | None]] = MappingProxyType(
    {
        Kind.OVERLAP: (1.0, 0.0),
        Kind.SURFACE_OVERLAP: (1.0, 0.0),
        Kind.DISTANCE: (0.0, None),
    }
)


def empty_mask_value(kind: Kind, emptiness: Emptiness, *, penalty: float | None = None) -> float | None:
    """Return the value for empty masks, or None if neither mask is empty.

    Args:
        kind: overlap, surface overlap or distance.
        emptiness: which masks are empty.
        penalty: the distance charged when one of the two is empty, in the protocol's unit; needed for distances only.
    Raises:
        ValueError: a distance with one empty mask and no penalty.

    >>> empty_mask_value(Kind.OVERLAP, Emptiness.BOTH), empty_mask_value(Kind.DISTANCE, Emptiness.TRUTH, penalty=374.0)
    (1.0, 374.0)
    """
    if emptiness is Emptiness.NEITHER:
        return None
    both, one = EMPTY_VALUES[kind]
    if emptiness is Emptiness.BOTH:
        return both
    if one is not None:
        return one
    if penalty is None:
        raise ValueError("a distance to nothing needs the protocol's penalty")
    return penalty
