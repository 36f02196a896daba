"""Size of a lesion as it is read from axial slices: the longest diameter and the width perpendicular to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from metseg.measure.boxes import bounding_box
from metseg.measure.diameter import axial_axis


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
    corners = {int(index): _outer_corners(planes[index]) @ steps_mm for index in shown}
    # A plane with a box that is shorter than the longest diameter so far has no longer one.
    bounds = {index: float(np.linalg.norm(np.ptp(points, axis=0))) for index, points in corners.items()}
    best = (0.0, 0.0, -1)
    for index in sorted(corners, key=lambda index: (-bounds[index], index)):
        if bounds[index] < best[0]:
            break
        best = max(best, (*_plane_size(corners[index]), index))
    longest, perpendicular, index = best
    return AxialSize(longest, perpendicular, len(shown), index + box[axis].start)


def _outer_corners(plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the corners of the first and the last pixel of every row, (N, 2) in pixels: their hull is the plane's."""
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - plane[rows, ::-1].argmax(axis=1)
    sides = [(side, column) for side in (rows, rows + 1) for column in (first, last)]
    return np.concatenate([np.column_stack(side) for side in sides])


def _plane_size(corners: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the largest distance of two corners of a plane, and the extent across it, both in mm."""
    hull = corners[ConvexHull(corners).vertices]
    distances = cdist(hull, hull)
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    along = (hull[second] - hull[first]) / distances[first, second]
    across = hull @ np.array([-along[1], along[0]])
    return float(distances.max()), float(across.max() - across.min())
