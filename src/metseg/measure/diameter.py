"""Diameters of a lesion: the longest in space, and the longest in an axial slice (RANO-BM, Lin et al. 2015).

A lesion is the union of its voxels as boxes, so a single voxel has a diameter: its space diagonal. The two most distant
points are corners of the outermost voxels of a row, far from the middle.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from metseg.measure.boxes import bounding_box, instance_boxes

#: Number of points per batch for distances to all other points.
_POINTS_AT_ONCE = 16

#: (2, 8) unit vectors, evenly spaced over half a turn.
_DIRECTIONS = np.stack([function(np.arange(8) * np.pi / 8) for function in (np.cos, np.sin)])

#: Safety factor: a bound that is too small from rounding would miss the longest distance.
_ROUNDING = 1 + 1e-9


def longest_diameter_mm(mask: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> float:
    """Return the largest distance between two voxel corners of a lesion.

    Args:
        mask: (X, Y, Z); what is not zero is the lesion.
        affine: (4, 4) voxel-to-RAS matrix, mm; its translation does not matter.
    Returns:
        millimetres; 0 for an empty mask.

    >>> voxel = np.zeros((3, 3, 3), bool); voxel[1, 1, 1] = True
    >>> longest_diameter_mm(voxel, np.diag([1.0, 2.0, 2.0, 1.0]))
    3.0
    """
    box = bounding_box(mask)
    if box is None:
        return 0.0
    return _largest_distance(_outer_corners(mask[box] != 0) @ affine[:3, :3].T)


def longest_axial_diameter_mm(mask: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> float:
    """Return the largest distance between two pixel corners of a lesion within one axial slice.

    Axial is the axis of the array that runs nearest to head-foot by the affine.

    Args:
        mask: (X, Y, Z); what is not zero is the lesion.
        affine: (4, 4) voxel-to-RAS matrix, mm; its translation does not matter.
    Returns:
        millimetres; 0 for an empty mask.

    >>> voxel = np.zeros((3, 3, 3), bool); voxel[1, 1, 1] = True
    >>> longest_axial_diameter_mm(voxel, np.diag([3.0, 4.0, 9.0, 1.0]))
    5.0
    """
    box = bounding_box(mask)
    return 0.0 if box is None else _longest_in_planes(mask[box] != 0, *_planes(affine))


def _planes(affine: npt.NDArray[np.float64]) -> tuple[int, npt.NDArray[np.float64]]:
    """Return the axis across the axial planes, and one step along each of the other two, (2, 2) mm, as rows.

    The steps are given in two orthogonal coordinates in the plane.
    """
    axis = axial_axis(affine)
    return axis, np.linalg.qr(np.delete(affine[:3, :3], axis, axis=1))[1].T


def _longest_in_planes(mask: npt.NDArray[np.bool_], axis: int, steps_mm: npt.NDArray[np.float64]) -> float:
    """Return the largest distance between two corners in one plane.

    Most planes can be skipped. The projection of a distance on the nearest of a few directions has nearly its full
    length, so the largest extent over these directions, slightly enlarged, bounds all distances of a plane.

    Args:
        mask: (X, Y, Z) of a lesion, not empty.
        axis: across the planes.
        steps_mm: of `_planes`.
    """
    corners = _outer_corners(np.moveaxis(mask, axis, 1), planes=True)
    starts = np.flatnonzero(np.diff(corners[:, 1], prepend=-1))
    placed = corners[:, ::2] @ steps_mm
    seen = placed @ _DIRECTIONS
    widths = np.maximum.reduceat(seen, starts) - np.minimum.reduceat(seen, starts)
    # The angle between a distance and the nearest direction is at most half a step.
    bounds = widths.max(axis=1) / np.cos(np.pi / (2 * _DIRECTIONS.shape[1])) * _ROUNDING
    stops = [*starts[1:], len(corners)]
    longest = 0.0
    for plane in np.argsort(-bounds):
        if bounds[plane] <= longest:
            break
        longest = max(longest, _largest_distance(placed[starts[plane] : stops[plane]]))
    return longest


def axial_axis(affine: npt.NDArray[np.float64]) -> int:
    """Return the axis of the array that runs nearest to head-foot.

    >>> axial_axis(np.array([[0, 0, 5.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
    1
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return int(np.argmax(np.abs(directions[2])))


def lesion_diameters_mm(instances: npt.NDArray[np.integer], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return both diameters of every lesion.

    Args:
        instances: (X, Y, Z) int; 0 background, lesions 1..N without gaps.
        affine: (4, 4) voxel-to-RAS matrix, mm.
    Returns:
        (N, 2) float64: longest diameter, longest axial diameter; row i belongs to lesion i + 1.
    """
    masks = (instances[box] == index for index, box in enumerate(instance_boxes(instances), start=1))
    return diameters_mm(masks, affine)


def diameters_mm(masks: Iterable[npt.NDArray[np.bool_]], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return both diameters of every lesion.

    Args:
        masks: (X, Y, Z) of each of N lesions, not empty, cropped to its box.
        affine: (4, 4) voxel-to-RAS matrix, mm.
    Returns:
        (N, 2) float64: longest diameter, longest axial diameter.
    """
    planes = _planes(affine)
    found = [
        (_largest_distance(_outer_corners(mask) @ affine[:3, :3].T), _longest_in_planes(mask, *planes))
        for mask in masks
    ]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _outer_corners(mask: npt.NDArray[np.bool_], *, planes: bool = False) -> npt.NDArray[np.int64]:
    """Return the first and the last voxel corner on each grid line along the first axis, (N, D) in voxel units.

    Every voxel corner is one of these or between two of them, so they have the same convex hull.

    Args:
        mask: what is not zero is the lesion.
        planes: the second axis counts planes with separate corners, returned plane by plane.
    """
    columns = mask.any(axis=0)
    first = np.where(columns, mask.argmax(axis=0), len(mask))
    last = np.where(columns, len(mask) - mask[::-1].argmax(axis=0), 0)
    # A grid line borders 2 (in a plane) or 4 (in space) rows of voxels; the outermost one counts.
    for axis in range(1 if planes else 0, columns.ndim):
        first = _of_neighbours(np.minimum, first, axis, len(mask))
        last = _of_neighbours(np.maximum, last, axis, 0)
    lines = np.flatnonzero(last > 0)
    along = np.column_stack([first.reshape(-1)[lines], last.reshape(-1)[lines]]).reshape(-1)
    return np.column_stack([along, *np.unravel_index(np.repeat(lines, 2), last.shape)])


def _of_neighbours(choose: np.ufunc, values: npt.NDArray[np.int64], axis: int, outside: int) -> npt.NDArray[np.int64]:
    """Apply ``choose`` to the two neighbours of each grid line along an axis; there is one line more than voxels."""
    lines = np.full([size + (other == axis) for other, size in enumerate(values.shape)], outside, dtype=np.int64)
    before, after = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
    lines[before] = values
    lines[after] = choose(lines[after], values)
    return lines


def _largest_distance(points: npt.NDArray[np.float64]) -> float:
    """Return the largest distance of any two points, (N, D) mm, N > 0.

    The distance of two points is at most the sum of their distances from the middle. So one of them is at least half of
    it away from the middle, and points are searched from the outside until no pair can be longer.
    """
    from_middle = np.linalg.norm(points - points.mean(axis=0), axis=1)
    inwards = np.argsort(-from_middle)
    points, reach = points[inwards], from_middle[inwards] * _ROUNDING
    longest = 0.0
    for start in range(0, len(points), _POINTS_AT_ONCE):
        if 2 * reach[start] <= longest:
            break
        others = int(np.searchsorted(-reach, reach[start] - longest, side="right"))
        longest = max(longest, float(cdist(points[start : start + _POINTS_AT_ONCE], points[:others]).max()))
    return longest
