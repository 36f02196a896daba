"""Connected pieces of masks that the service does not give: at another threshold, and where two results differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
_ndimage: Any = ndimage


@dataclass(frozen=True)
class Burden:
    """What a mask amounts to.

    Args:
        lesions: connected pieces.
        elements: voxels or pixels.
        volume_ml: None where a voxel has no size.
    """

    lesions: int
    elements: int
    volume_ml: float | None


def connected_pieces(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Return the connected pieces of a mask, touching at corners counts, and how many there are."""
    pieces, count = _ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=np.int32)
    return pieces, int(count)


def lesion_burden(mask: Mask, voxel_ml: float | None) -> Burden:
    """Return what a mask amounts to; only the part of it that is not empty is looked at."""
    elements = int(np.count_nonzero(mask))
    if not elements:
        return Burden(0, 0, None if voxel_ml is None else 0.0)
    box = _ndimage.find_objects(mask.astype(np.uint8))[0]
    _, lesions = connected_pieces(mask[box])
    return Burden(lesions, elements, None if voxel_ml is None else elements * voxel_ml)


def counts_above(probability: npt.NDArray[np.uint16], *, steps: int = 100) -> npt.NDArray[np.int64]:
    """Return how many elements have at least each probability, for thresholds 1/steps, 2/steps, ... below 1.

    Args:
        probability: 0 to 65535.
        steps: how finely.
    """
    histogram = np.bincount(probability.reshape(-1), minlength=65536)
    at_least = histogram[::-1].cumsum()[::-1]
    # Rounding must not lift a threshold above the very probability that it names.
    edges = np.ceil(np.arange(1, steps) / steps * 65535 - 1e-6).astype(int)
    return np.asarray(at_least[edges], dtype=np.int64)
