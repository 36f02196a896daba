"""Diameters of a lesion: the longest in space, and the longest in an axial slice (RANO-BM, Lin et al. 2015).

A lesion is the union of its voxels as boxes, so a single voxel has a diameter: its space diagonal. The two points that
lie farthest apart are vertices of the convex hull, and hull vertices are corners of the outermost voxels of each row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from metseg.measure.boxes import bounding_box, instance_boxes

#: Up to so many points, all pairs are cheaper than a hull.
_FEW_POINTS = 200


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
    return _largest_distance(_outer_corners(mask[box] != 0), affine[:3, :3])


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
    if box is None:
        return 0.0
    axis = axial_axis(affine)
    in_plane = np.delete(affine[:3, :3], axis, axis=1)
    planes = np.moveaxis(mask[box] != 0, axis, 0)
    return max(_largest_distance(_outer_corners(plane), in_plane) for plane in planes if plane.any())


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
    diameters = np.zeros((int(instances.max(initial=0)), 2))
    for index, box in enumerate(instance_boxes(instances)):
        mask = instances[box] == index + 1
        diameters[index] = longest_diameter_mm(mask, affine), longest_axial_diameter_mm(mask, affine)
    return diameters


def _outer_corners(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the first and the last voxel corner on each grid line along the first axis, (N, D) in voxel units.

    Every voxel corner lies between two of these or is one of them, so the convex hull is theirs.
    """
    columns = mask.any(axis=0)
    first = np.where(columns, mask.argmax(axis=0), len(mask))
    last = np.where(columns, len(mask) - mask[::-1].argmax(axis=0), 0)
    # A grid line borders on 2 (in a plane) or 4 (in space) rows of voxels; the outermost of them counts.
    for axis in range(columns.ndim):
        first = _of_neighbours(np.minimum, first, axis, len(mask))
        last = _of_neighbours(np.maximum, last, axis, 0)
    lines = np.argwhere(last > 0)
    at_lines = tuple(lines.T)
    return np.concatenate([np.column_stack([first[at_lines], lines]), np.column_stack([last[at_lines], lines])])


def _of_neighbours(choose: np.ufunc, values: npt.NDArray[np.int64], axis: int, outside: int) -> npt.NDArray[np.int64]:
    """Return what ``choose`` makes of the two neighbours of each grid line along an axis; one more than voxels."""
    width = [(1, 1) if other == axis else (0, 0) for other in range(values.ndim)]
    padded = np.moveaxis(np.pad(values, width, constant_values=outside), axis, 0)
    return np.moveaxis(np.asarray(choose(padded[:-1], padded[1:]), dtype=np.int64), 0, axis)


def _largest_distance(points: npt.NDArray[np.int64], axes: npt.NDArray[np.float64]) -> float:
    """Return the largest distance of two points, (N, D) in voxel units, under the linear map ``axes`` (3, D)."""
    if len(points) > _FEW_POINTS:
        # In voxel units the hull is exact and never flat: it holds at least one whole voxel.
        points = points[ConvexHull(points).vertices]
    return float(pdist(points @ axes.T).max())
