"""Metrics of how well two images of one head are aligned."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metseg.volume import Array

Mask = npt.NDArray[np.bool_]

#: Few enough that a small head of some thousand voxels fills them.
BINS = 32
#: Values beyond these percentiles go into the first and the last bin.
LOWER, UPPER = 0.5, 99.5


class Fit(NamedTuple):
    """The figures by which a registration is judged.

    Args:
        mutual_information: `normalised_mutual_information` within the reference's head, where both images are.
        head_overlap: Dice coefficient of the two heads where both images are.
        coverage: share of the reference's head that the other image shows.
    """

    mutual_information: float
    head_overlap: float
    coverage: float

    def to_json(self) -> dict[str, Any]:
        return {name: round(float(value), 4) for name, value in self._asdict().items()}


def fit(reference: Array, image: Array, *, heads: tuple[Mask, Mask], covered: Mask) -> Fit:
    """Return how well an image fits the reference.

    Args:
        reference: (X, Y, Z).
        image: on the same grid.
        heads: of the reference and of the image.
        covered: where the image was measured at all.
    """
    first, second = heads[0] & covered, heads[1] & covered
    both = np.count_nonzero(first) + np.count_nonzero(second)
    size = np.count_nonzero(heads[0])
    return Fit(
        normalised_mutual_information(reference[first], image[first]),
        2 * np.count_nonzero(first & second) / both if both else 0.0,
        np.count_nonzero(first) / size if size else 0.0,
    )


def normalised_mutual_information(one: Array, other: Array) -> float:
    """Return (H(A) + H(B)) / H(A, B) of two lists of values: 1, independent, to 2, each told by the other.

    Source: Studholme, Hill and Hawkes 1999, doi:10.1016/S0031-3203(98)00091-0. Values are sorted into 32 equal bins.

    >>> normalised_mutual_information(np.arange(640), -2.0 * np.arange(640)) > 1.9
    True
    >>> round(normalised_mutual_information(np.tile([0, 1], 50), np.repeat([0, 1], 50)), 9)
    1.0
    """
    if one.size == 0:
        return 1.0
    counts = np.bincount(_bins(one) * BINS + _bins(other), minlength=BINS * BINS)
    joint = (counts / one.size).reshape(BINS, BINS)
    together = _entropy(joint.ravel())
    apart = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
    return apart / together if together > 0 else 1.0


def _bins(values: Array) -> npt.NDArray[np.int64]:
    numbers = values.astype(np.float64)
    low, high = np.percentile(numbers, [LOWER, UPPER])
    width = (high - low) / BINS or 1.0
    return np.asarray(np.clip((numbers - low) / width, 0, BINS - 1), dtype=np.int64)


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum())
