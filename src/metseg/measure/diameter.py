"""Diameters of a lesion: the longest in space, and the longest in an axial slice (RANO-BM, Lin et al. 2015).

A lesion is the union of its voxels as boxes, so a single voxel has a diameter: its space diagonal. The two points that
lie farthest apart are vertices of the convex hull, and hull vertices are corners of the outermost voxels of each row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from metseg.measure.boxes import Box, bounding_box, instance_boxes

#: Up to so many points, all pairs at once are cheaper than a hull.
_FEW_POINTS = 100

#: (2, 8) unit vectors, evenly over half a turn.
_DIRECTIONS = np.stack([function(np.arange(8) * np.pi / 8) for function in (np.cos, np.sin)])

#: A bound that rounding made too small would leave out the longest distance.
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
    corners = _outer_corners(mask[box] != 0)
    if len(corners) > _FEW_POINTS:
        # In voxel units the hull is exact and never flat: it holds at least one whole voxel.
        corners = corners[ConvexHull(corners).vertices]
    return _largest_distance(corners @ affine[:3, :3].T)


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
    corners = _outer_corners(np.moveaxis(mask[box] != 0, axis, 2), planes=True)
    return _largest_in_planes(corners[np.argsort(corners[:, 2], kind="stable")], in_plane)


def _largest_in_planes(corners: npt.NDArray[np.int64], in_plane: npt.NDArray[np.float64]) -> float:
    """Return the largest distance of two corners of one plane.

    Most planes need not be looked at. A distance is seen nearly whole from one of a few directions, so the widest
    extent in these, a little lengthened, is a bound on all distances of a plane.

    Args:
        corners: (N, 3) two coordinates and the number of the plane, sorted by the latter; N > 0.
        in_plane: (3, 2) what one step along each coordinate is, mm.
    """
    _, starts = np.unique(corners[:, 2], return_index=True)
    placed = corners[:, :2] @ np.linalg.qr(in_plane)[1].T  # mm, on two axes at right angles in the plane
    seen = placed @ _DIRECTIONS
    widths = np.maximum.reduceat(seen, starts) - np.minimum.reduceat(seen, starts)
    # Half a step between directions is the most that a distance can be turned away from the nearest.
    bounds = widths.max(axis=1) / np.cos(np.pi / (2 * _DIRECTIONS.shape[1])) * _ROUNDING
    parts = np.split(placed, starts[1:])
    longest = 0.0
    for plane in np.argsort(-bounds):
        if bounds[plane] <= longest:
            break
        longest = max(longest, _largest_distance(parts[plane]))
    return longest


def axial_axis(affine: npt.NDArray[np.float64]) -> int:
    """Return the axis of the array that runs nearest to head-foot.

    >>> axial_axis(np.array([[0, 0, 5.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
    1
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return int(np.argmax(np.abs(directions[2])))


def lesion_diameters_mm(
    instances: npt.NDArray[np.integer], affine: npt.NDArray[np.float64], *, boxes: Sequence[Box] | None = None
) -> npt.NDArray[np.float64]:
    """Return both diameters of every lesion.

    Args:
        instances: (X, Y, Z) int; 0 background, lesions 1..N without gaps.
        affine: (4, 4) voxel-to-RAS matrix, mm.
        boxes: of `instance_boxes`, where they are known already.
    Returns:
        (N, 2) float64: longest diameter, longest axial diameter; row i belongs to lesion i + 1.
    """
    boxes = instance_boxes(instances) if boxes is None else boxes
    diameters = np.zeros((len(boxes), 2))
    for index, box in enumerate(boxes):
        mask = instances[box] == index + 1
        diameters[index] = longest_diameter_mm(mask, affine), longest_axial_diameter_mm(mask, affine)
    return diameters


def _outer_corners(mask: npt.NDArray[np.bool_], *, planes: bool = False) -> npt.NDArray[np.int64]:
    """Return the first and the last voxel corner on each grid line along the first axis, (N, D) in voxel units.

    Every voxel corner lies between two of these or is one of them, so the convex hull is theirs.

    Args:
        mask: what is not zero is the lesion.
        planes: the last axis counts planes, each with corners of its own; their number stands in the last column.
    """
    columns = mask.any(axis=0)
    first = np.where(columns, mask.argmax(axis=0), len(mask))
    last = np.where(columns, len(mask) - mask[::-1].argmax(axis=0), 0)
    # A grid line borders on 2 (in a plane) or 4 (in space) rows of voxels; the outermost of them counts.
    for axis in range(columns.ndim - planes):
        first = _of_neighbours(np.minimum, first, axis, len(mask))
        last = _of_neighbours(np.maximum, last, axis, 0)
    lines = np.argwhere(last > 0)
    at_lines = tuple(lines.T)
    return np.concatenate([np.column_stack([first[at_lines], lines]), np.column_stack([last[at_lines], lines])])


def _of_neighbours(choose: np.ufunc, values: npt.NDArray[np.int64], axis: int, outside: int) -> npt.NDArray[np.int64]:
    """Return what ``choose`` makes of the two neighbours of each grid line along an axis; one more than voxels."""
    lines = np.full([size + (other == axis) for other, size in enumerate(values.shape)], outside, dtype=np.int64)
    before, after = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
    lines[before] = values
    lines[after] = choose(lines[after], values)
    return lines


def _largest_distance(points: npt.NDArray[np.float64]) -> float:
    """Return the largest distance of any two points, (N, D) mm, N > 0."""
    if len(points) > _FEW_POINTS:
        return float(pdist(points).max())
    steps = points[:, np.newaxis] - points
    return float(np.sqrt(np.einsum("ijk,ijk->ij", steps, steps).max()))
