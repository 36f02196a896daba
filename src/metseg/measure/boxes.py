"""Bounding boxes, so that lesions are processed in their boxes and not in the whole volume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Box = tuple[slice, ...]


def bounding_box(mask: npt.NDArray[np.generic]) -> Box | None:
    """Return the bounding box of all nonzero entries, or None for an empty mask.

    Args:
        mask: any number of axes, any type.
    Returns:
        one slice per axis.

    >>> bounding_box(np.array([[0, 0, 0], [0, 1, 1]]))
    (slice(1, 2, None), slice(1, 3, None))
    """
    occupied = mask if mask.dtype == np.bool_ else mask != 0
    box: list[slice] = []
    for _ in range(occupied.ndim):
        positions = np.flatnonzero(occupied.any(axis=tuple(range(1, occupied.ndim))))
        if positions.size == 0:
            return None
        extent = slice(int(positions[0]), int(positions[-1]) + 1)
        box.append(extent)
        # Each searched axis is cropped and reduced, so later axes search less data.
        occupied = occupied[extent].any(axis=0)
    return tuple(box)


def grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    """Return the box with a margin in voxels on every side, clipped to the image.

    >>> grown((slice(0, 2), slice(3, 4)), 2, (10, 5))
    (slice(0, 4, None), slice(1, 5, None))
    """
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, size)) for side, size in zip(box, shape, strict=True)
    )


def shifted(box: Box, origin: Box) -> Box:
    """Convert a box inside the crop ``origin`` to the coordinates of the whole image."""
    return tuple(
        slice(inner.start + outer.start, inner.stop + outer.start) for inner, outer in zip(box, origin, strict=True)
    )


def instance_boxes(instances: npt.NDArray[np.integer]) -> list[Box]:
    """Return the bounding box of every lesion.

    Args:
        instances: (X, Y, Z) int; 0 background, lesions 1..N without gaps.
    Returns:
        N boxes; element i belongs to lesion i + 1.
    Raises:
        ValueError: the numbering has a gap.
    """
    found = ndimage.find_objects(instances)
    if any(box is None for box in found):
        raise ValueError("instances have to be numbered 1..N without gaps")
    return [tuple(box) for box in found if box is not None]
