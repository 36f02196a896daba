"""Enlarge a structure by a distance in millimetres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.measure.boxes import bounding_box


def with_margin(
    mask: npt.NDArray[np.bool_], margin_mm: float, spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.bool_]:
    """Return a mask enlarged by a margin: all voxels with a centre at most so far from a voxel of the mask.

    The distance is measured from the surface of the voxels of the mask. A margin below half the distance of two slices
    therefore does not reach the next slice.

    Args:
        mask: (X, Y, Z).
        margin_mm: distance, above 0.
        spacing_mm: of the voxels, along each axis.

    >>> point = np.zeros((5, 5, 5), bool); point[2, 2, 2] = True
    >>> int(with_margin(point, 1.0, (1.0, 1.0, 3.0)).sum())
    9
    """
    box = bounding_box(mask)
    if box is None:
        return mask
    element = _within(margin_mm, spacing_mm)
    reach = [size // 2 for size in element.shape]
    around = tuple(
        slice(max(part.start - far, 0), min(part.stop + far, size))
        for part, far, size in zip(box, reach, mask.shape, strict=True)
    )
    enlarged = np.zeros_like(mask)
    # The number of voxels of the mask within reach of each voxel, to rounding.
    enlarged[around] = _convolved(mask[around].astype(np.float64), element) > 0.5
    return enlarged


def _convolved(image: npt.NDArray[np.float64], element: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return an image convolved with an element of odd sides, at the size of the image.

    By Fourier transforms, so that a wide margin takes no longer; scipy's function is the same, but its module takes
    seconds to import.
    """
    full = [size + width - 1 for size, width in zip(image.shape, element.shape, strict=True)]
    product = np.fft.rfftn(image, full) * np.fft.rfftn(element, full)
    spread = np.fft.irfftn(product, full)
    middle = tuple(slice(width // 2, width // 2 + size) for size, width in zip(image.shape, element.shape, strict=True))
    return np.asarray(spread[middle])


def _within(margin_mm: float, spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return which voxels have a centre within the margin around the middle voxel, as 0 and 1."""
    reach = [int(margin_mm / side + 0.5) for side in spacing_mm]
    steps = np.meshgrid(*(np.arange(-far, far + 1) for far in reach), indexing="ij")
    # The surface of a voxel lies half a voxel from its centre.
    gaps = [np.maximum(np.abs(step) - 0.5, 0) * side for step, side in zip(steps, spacing_mm, strict=True)]
    return np.asarray(np.sqrt(sum(gap**2 for gap in gaps)) <= margin_mm + 1e-9, dtype=np.float64)
