"""Connected components of masks that the page computes: at another threshold, and of two results."""

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
    """Number of lesions and size of a mask.

    Args:
        lesions: number of connected components.
        elements: number of voxels or pixels.
        volume_ml: volume in mL; None if voxels have no size.
    """

    lesions: int
    elements: int
    volume_ml: float | None


def connected_pieces(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Label the connected components of a mask, including diagonal neighbours; return labels and their number."""
    pieces, count = _ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=np.int32)
    return pieces, int(count)


def lesion_burden(mask: Mask, voxel_ml: float | None) -> Burden:
    """Return number of lesions and size of a mask; only its bounding box is labelled."""
    elements = int(np.count_nonzero(mask))
    if not elements:
        return Burden(0, 0, None if voxel_ml is None else 0.0)
    box = _ndimage.find_objects(mask.astype(np.uint8))[0]
    _, lesions = connected_pieces(mask[box])
    return Burden(lesions, elements, None if voxel_ml is None else elements * voxel_ml)


def counts_above(probability: npt.NDArray[np.uint16], *, steps: int = 100) -> npt.NDArray[np.int64]:
    """Return the number of elements at or above each of the thresholds 1/steps, 2/steps, ... below 1.

    Args:
        probability: 0 to 65535.
        steps: number of intervals.
    """
    histogram = np.bincount(probability.reshape(-1), minlength=65536)
    at_least = histogram[::-1].cumsum()[::-1]
    # Rounding must not lift a threshold above a stored probability that equals it.
    edges = np.ceil(np.arange(1, steps) / steps * 65535 - 1e-6).astype(int)
    return np.asarray(at_least[edges], dtype=np.int64)
