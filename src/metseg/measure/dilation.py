"""Dilation by the 18 neighbours that share a face or an edge: scipy's ``generate_binary_structure(3, 2)``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def dilated(mask: Mask, times: int = 1) -> Mask:
    """Return the mask grown by its 18 neighbours, ``times`` over, within the array.

    The 18 neighbours and the voxel are three 3×3 plates at right angles, and a plate is two lines one after the other;
    whole-array ORs of shifted copies are several times faster than a general structuring element.

    Args:
        mask: (X, Y, Z).
        times: how often; 0 gives the mask itself.

    >>> point = np.zeros((3, 3, 3), bool); point[1, 1, 1] = True
    >>> int(dilated(point).sum())
    19
    """
    for _ in range(times):
        along_x, along_y = _line(mask, 0), _line(mask, 1)
        mask = _line(along_x, 1) | _line(along_x, 2) | _line(along_y, 2)
    return mask


def _line(mask: Mask, axis: int) -> Mask:
    """Return the mask with the neighbours before and after along one axis."""
    grown = mask.copy()
    before: tuple[slice, ...] = (slice(None),) * axis + (slice(None, -1),)
    after: tuple[slice, ...] = (slice(None),) * axis + (slice(1, None),)
    grown[after] |= mask[before]
    grown[before] |= mask[after]
    return grown
