"""A volume with its result in RAS+ orientation, and planes through it.

Planes are drawn in radiological convention: the patient's right is on the left of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.lesion import Lesion
from metseg.ui.viewer.nifti_bytes import Array, Image, inverse, moved

Mask = npt.NDArray[np.bool_]
Point = tuple[int, int, int]
_ndimage: Any = ndimage

#: Stored 16-bit value of a probability of 1.
FULL: Final = 65535
MM3_PER_ML: Final = 1000.0
#: Tolerance: 0.2 * 65535 is 13107, but slightly more in floating point.
_ROUNDING: Final = 1e-6
#: Number of voxels from which a window is estimated.
_SAMPLE: Final = 500_000


@dataclass(frozen=True)
class Plane:
    """One of the three planes.

    Args:
        axis: axis normal to the plane: 0 x, 1 y, 2 z.
        title: label.
        marks: markers of left, right, top and bottom of the picture.
    """

    axis: int
    title: str
    marks: tuple[str, str, str, str]

    @property
    def within(self) -> tuple[int, int]:
        """Return the axes of the picture: along its rows, along its columns."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        return first, second


PLANES: Final[Mapping[str, Plane]] = {
    "axial": Plane(2, "Axial", ("R", "L", "A", "P")),
    "coronal": Plane(1, "Coronal", ("R", "L", "S", "I")),
    "sagittal": Plane(0, "Sagittal", ("A", "P", "S", "I")),
}


@dataclass(frozen=True)
class Scene:
    """A volume and its result, all in RAS+ order on one grid.

    Args:
        image: the image.
        labels: (X, Y, Z) class ids of the result.
        probability: (X, Y, Z) lesion probability, 0 to `FULL`.
        lesions: measured lesions.
        instances: (X, Y, Z) id of the lesion at each voxel; 0: background.
        brain: (X, Y, Z) the brain that metseg extracted; None: it extracted none.
    """

    image: Image
    labels: Array
    probability: Array
    lesions: tuple[Lesion, ...]
    instances: Array
    brain: Mask | None = None

    @property
    def shape(self) -> Point:
        x, y, z = self.image.data.shape
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return self.image.spacing_mm

    @property
    def voxel_ml(self) -> float:
        return abs(float(np.linalg.det(self.image.affine[:3, :3]))) / MM3_PER_ML

    @cached_property
    def places(self) -> Mapping[int, tuple[float, float, float]]:
        """Return where each lesion is shown, in voxels of this grid, by lesion id; see `Lesion.shown_voxel`."""
        return {lesion.id: _triple(moved(self.image.from_file, lesion.shown_voxel)) for lesion in self.lesions}

    @cached_property
    def window(self) -> tuple[float, float]:
        """Return the window: stored values to draw black and white."""
        return window_of(self.image.data)

    def middle(self) -> Point:
        x, y, z = (size // 2 for size in self.shape)
        return x, y, z

    def inside(self, point: npt.ArrayLike) -> Point | None:
        """Return a point rounded to a voxel; None outside the volume."""
        x, y, z = (int(value) for value in np.rint(np.asarray(point, dtype=np.float64)))
        within = all(0 <= value < size for value, size in zip((x, y, z), self.shape, strict=True))
        return (x, y, z) if within else None

    def lesion_at(self, point: Point) -> int | None:
        """Return the id of the lesion at a voxel; None if there is none."""
        return int(self.instances[point]) or None

    def mask(self, threshold: float | None) -> Mask:
        """Return the lesion mask at a probability threshold; None: the mask of the service."""
        if threshold is None:
            return np.asarray(self.labels > 0)
        return np.asarray(self.probability >= stored_threshold(threshold))


def stored_threshold(threshold: float) -> int:
    """Return a threshold in units of stored probabilities, at least 1, so that zero probability is never lesion.

    >>> stored_threshold(0.5), stored_threshold(0.0), stored_threshold(1.0)
    (32768, 1, 65535)
    """
    return max(int(np.ceil(threshold * FULL - _ROUNDING)), 1)


def window_of(data: Array) -> tuple[float, float]:
    """Return the window of an image: the 1st and 99.5th percentiles without background."""
    low, high = tissue_percentiles(data, (1, 99.5))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def tissue_percentiles(data: Array, shares: Sequence[float], tissue: Mask | None = None) -> tuple[float, ...]:
    """Return percentiles of an image, estimated from some of its voxels; zeros for an image without finite values.

    Args:
        data: (X, Y, Z) stored values.
        shares: percentiles, 0 to 100.
        tissue: (X, Y, Z) which voxels count; None: those that are not background, the smallest value.
    """
    flat = (data if tissue is None or not tissue.any() else data[tissue]).reshape(-1)
    sample = np.asarray(flat[:: max(flat.size // _SAMPLE, 1)], dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return tuple(0.0 for _ in shares)
    foreground = sample[sample != sample.min()]
    return tuple(float(value) for value in np.percentile(foreground if foreground.size else sample, shares))


def cut(volume: npt.NDArray[Any], plane: Plane, index: int) -> npt.NDArray[Any]:
    """Return a plane in screen orientation: (rows from the top, columns from the left)."""
    return np.asarray(np.take(volume, index, axis=plane.axis)[::-1, ::-1].T)


def pixel_at(size: Sequence[int], share: tuple[float, float]) -> tuple[int, int]:
    """Return row and column at fractions of the width from the left and of the height from the top.

    >>> pixel_at((10, 20), (0.5, 0.25)), pixel_at((10, 20), (1.0, 1.0))
    ((2, 10), (9, 19))
    """
    rows, columns = size
    return min(max(int(share[1] * rows), 0), rows - 1), min(max(int(share[0] * columns), 0), columns - 1)


def pixel_spacing(spacing_mm: Sequence[float], plane: Plane) -> tuple[float, float]:
    """Return height and width in mm of the pixels of a plane."""
    along, up = plane.within
    return spacing_mm[up], spacing_mm[along]


def mask_on_grid(mask: Image, image: Image) -> Mask:
    """Return a mask on the grid of an image, by the nearest voxel; False where the mask does not reach."""
    data = np.asarray(mask.data > 0)
    there = inverse(mask.affine) @ image.affine
    if data.shape == image.data.shape and np.allclose(there, np.eye(4), atol=1e-3):
        return data
    moved_mask = _ndimage.affine_transform(
        data.astype(np.uint8), there[:3, :3], there[:3, 3], output_shape=image.data.shape, order=0
    )
    return np.asarray(moved_mask > 0)


def same_grid(first: Scene, second: Scene) -> bool:
    """Return whether two results have the same voxel grid."""
    near = first.shape == second.shape and np.allclose(first.image.affine, second.image.affine, atol=1e-3)
    return bool(near)


def _triple(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
