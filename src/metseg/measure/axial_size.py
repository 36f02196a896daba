"""Size of a lesion as it is read from axial slices: the longest diameter and the width perpendicular to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from metseg.measure.boxes import bounding_box
from metseg.measure.diameter import axial_axis

_CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


class AxialSize(NamedTuple):
    """Measurements within the axial slices of a lesion.

    Args:
        longest_mm: largest distance between two pixel corners within one slice.
        perpendicular_mm: extent of the lesion across that distance, in the same slice.
        slices: number of axial slices that show the lesion.
        slice_index: array index of the measured slice along the axial axis.
    """

    longest_mm: float
    perpendicular_mm: float
    slices: int
    slice_index: int


def axial_size(mask: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> AxialSize | None:
    """Return the size of a lesion in its axial slices.

    Axial is the axis of the array that runs nearest to head-foot by the affine. The longest diameter is that of
    `metseg.measure.longest_axial_diameter_mm`.

    Args:
        mask: (X, Y, Z); what is not zero is the lesion.
        affine: (4, 4) voxel-to-RAS matrix, mm; its translation does not matter.
    Returns:
        None for an empty mask.

    >>> bar = np.zeros((9, 9, 3), bool); bar[1:8, 3:5, 1] = True
    >>> size = axial_size(bar, np.diag([1.0, 1.0, 5.0, 1.0]))
    >>> round(size.longest_mm, 2), round(size.perpendicular_mm, 2), size.slices, size.slice_index
    (7.28, 3.85, 1, 1)
    """
    box = bounding_box(mask)
    if box is None:
        return None
    axis = axial_axis(affine)
    steps_mm = np.linalg.qr(np.delete(affine[:3, :3], axis, axis=1))[1].T
    planes = np.moveaxis(mask[box] != 0, axis, 0)
    shown = np.flatnonzero(planes.any(axis=(1, 2)))
    sizes = {int(index): _plane_size(planes[index], steps_mm) for index in shown}
    longest = max(sizes, key=lambda index: (sizes[index][0], sizes[index][1]))
    return AxialSize(*sizes[longest], len(shown), longest + box[axis].start)


def _plane_size(plane: npt.NDArray[np.bool_], steps_mm: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the largest distance of two pixel corners, and the extent across it, both in mm."""
    pixels = np.argwhere(plane)
    corners = np.unique((pixels[:, None, :] + _CORNERS).reshape(-1, 2), axis=0) @ steps_mm
    hull = corners[ConvexHull(corners).vertices]
    distances = cdist(hull, hull)
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    along = (hull[second] - hull[first]) / distances[first, second]
    across = hull @ np.array([-along[1], along[0]])
    return float(distances.max()), float(across.max() - across.min())
