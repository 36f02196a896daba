"""The voxel of a mask that stands for it: where viewers and key images show a lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: Distances to the border that differ by less than this share are equal.
EQUAL_SHARE = 1e-6


def typical_voxel(mask: npt.NDArray[np.bool_], spacing: Sequence[float]) -> tuple[int, ...]:
    """Return the voxel of a mask that is farthest from its border.

    The centre of mass of a ring or of a bent lesion is outside of it; this voxel never is. Of several equal ones it is
    the nearest to the centre of mass.

    Args:
        mask: with at least one voxel; beyond the edge of the array is outside.
        spacing: voxel size along each axis of the mask, in any unit.

    >>> ring = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], dtype=bool)
    >>> ring[typical_voxel(ring, (1, 1))]
    np.True_
    """
    depths = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=tuple(spacing))
    depths = depths[(slice(1, -1),) * mask.ndim]
    deepest = np.argwhere(depths >= depths.max() * (1 - EQUAL_SHARE))
    away = (deepest - np.argwhere(mask).mean(axis=0)) * np.asarray(spacing)
    return tuple(int(at) for at in deepest[np.square(away).sum(axis=1).argmin()])
