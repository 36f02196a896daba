"""Split a mask into lesions by connected components."""

from __future__ import annotations

from collections.abc import Sequence

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.errors import GeometryError
from metseg.measure.boxes import bounding_box

Instances = npt.NDArray[np.uint32]


def label_instances(mask: npt.NDArray[np.generic], *, across_slices: bool = True) -> tuple[Instances, int]:
    """Number the connected components of a mask.

    Args:
        mask: (X, Y, Z); what is not zero belongs to some lesion.
        across_slices: True: voxels that share a face, an edge or a corner belong together (26 neighbours). False: each
            slice along the last axis is processed separately (8 neighbours), as for pictures at unknown distances.
    Returns:
        (X, Y, Z) uint32 with 0 for background and lesions 1..N without gaps, and N. The order across slices is that of
        connected-components-3d; slice by slice it follows the slices. The numbers have no other meaning.
    Raises:
        GeometryError: the mask does not have three axes.

    >>> stack = np.zeros((3, 3, 2), bool); stack[0, 0, 0] = stack[1, 1, 1] = True
    >>> label_instances(stack)[1], label_instances(stack, across_slices=False)[1]
    (1, 2)
    """
    if mask.ndim != 3:
        raise GeometryError("lesions are counted in volumes or stacks", expected="(X, Y, Z)", got=mask.shape)
    box = bounding_box(mask)
    if box is None:
        return np.zeros(mask.shape, dtype=np.uint32), 0
    components = _components if across_slices else _slice_by_slice
    if 2 * mask[box].size > mask.size:
        return components(mask != 0)  # cropping would save little, and this avoids copying back
    instances = np.zeros(mask.shape, dtype=np.uint32)
    instances[box], count = components(mask[box] != 0)
    return instances, count


def label_regions(mask: npt.NDArray[np.generic], gaps: Sequence[bool] = ()) -> tuple[Instances, int]:
    """Number the lesions of a stack of pictures at unknown distances.

    Pixels of a slice that share an edge or a corner belong together, and so do pixels at the same position in two
    neighbouring slices: overlapping regions of neighbouring slices are one lesion.

    Args:
        mask: (X, Y, Z); what is not zero belongs to some lesion.
        gaps: as `metseg.volume.Case.slice_gaps`: slices with missing slices between them are not neighbours.
    Returns:
        As `label_instances`.
    Raises:
        GeometryError: the mask does not have three axes.

    >>> stack = np.zeros((3, 3, 3), bool); stack[0, 0, 0] = stack[0, 0, 1] = stack[1, 1, 2] = True
    >>> label_regions(stack)[1], label_regions(stack, gaps=(False, True, False))[1]
    (2, 3)
    """
    if mask.ndim != 3:
        raise GeometryError("lesions are counted in volumes or stacks", expected="(X, Y, Z)", got=mask.shape)
    if any(gaps[1:]):
        return _across_no_gap(mask, gaps)
    neighbours = np.zeros((3, 3, 3), dtype=bool)
    neighbours[:, :, 1] = neighbours[1, 1, :] = True
    instances, count = ndimage.label(mask != 0, neighbours)
    return np.asarray(instances, dtype=np.uint32), int(count)


def _across_no_gap(mask: npt.NDArray[np.generic], gaps: Sequence[bool]) -> tuple[Instances, int]:
    """Label a stack with an empty slice inserted in each gap, and return the labels without these slices."""
    before = 1 + np.flatnonzero(gaps[1:])
    instances, count = label_regions(np.insert(mask, before, 0, axis=2))
    return np.delete(instances, before + np.arange(len(before)), axis=2), count


def _components(mask: npt.NDArray[np.bool_]) -> tuple[Instances, int]:
    """Label components with 26 neighbours by connected-components-3d.

    One empty voxel is added at the end of each axis: the library (4.1) allocates its tables one label too small, and
    fails on images of odd size if every second voxel is a separate lesion (a row 1 0 1, for example).
    """
    padded = np.zeros([size + 1 for size in mask.shape], dtype=bool)
    inner = tuple(slice(0, size) for size in mask.shape)
    padded[inner] = mask
    instances, count = cc3d.connected_components(padded, connectivity=26, out_dtype=np.uint32, return_N=True)
    return np.asarray(instances[inner], dtype=np.uint32), int(count)


def _slice_by_slice(mask: npt.NDArray[np.bool_]) -> tuple[Instances, int]:
    """Label components with 8 neighbours within each slice by scipy.

    Not connected-components-3d: in two dimensions its release 4.1 leaves gaps in the numbering of some images.
    """
    within_slice = np.zeros((3, 3, 3), dtype=bool)
    within_slice[:, :, 1] = True
    by_slice = np.moveaxis(mask, 2, 0)
    instances, count = ndimage.label(by_slice, np.moveaxis(within_slice, 2, 0))
    return np.ascontiguousarray(np.moveaxis(instances, 0, 2), dtype=np.uint32), int(count)
