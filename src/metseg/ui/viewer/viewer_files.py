"""Files for the viewer in the browser: images with 8 bits and their windows, class ids, lesions and the brain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from metseg.ui.viewer.nifti_bytes import Array, Image, Matrix, write_nifti
from metseg.ui.viewer.scene import Mask, Scene, tissue_percentiles

_LEVELS: Final = 255
#: Windows by name: percentiles of the brain, or of what is not background where the brain is not known; None: all.
PRESETS: Final[Mapping[str, tuple[float, float] | None]] = {
    "Brain": (1, 99.5),
    "High contrast": (25, 98),
    "Full range": None,
}
#: Voxels of an image that the browser holds, one byte each; of a larger one it gets every second voxel.
LARGEST: Final = 64 * 2**20
#: The window at the beginning.
FIRST_PRESET: Final = "Brain"


@dataclass(frozen=True)
class GreyCopy:
    """An image for the viewer, with 8 bits: a screen shows no more, and it is small.

    Args:
        content: gzipped NIfTI, uint8; the header has no scale.
        shape: (X, Y, Z) of the content.
        affine: (4, 4) voxel-to-RAS, mm.
        slope: value of the image per grey step.
        intercept: value of the image at grey step 0.
        presets: name to the grey steps drawn black and white.
    """

    content: bytes
    shape: tuple[int, ...]
    affine: Matrix
    slope: float
    intercept: float
    presets: Mapping[str, tuple[float, float]]


def grey_copy(image: Image, brain: Mask | None) -> GreyCopy:
    """Return an image as the viewer takes it.

    Args:
        image: in RAS+ order.
        brain: (X, Y, Z) on the grid of the image; None: not known.
    """
    data = np.nan_to_num(image.data.astype(np.float32))
    wanted = [share for shares in PRESETS.values() if shares for share in shares]
    found = iter(tissue_percentiles(data, wanted, brain))
    windows = {name: (next(found), next(found)) for name, shares in PRESETS.items() if shares}
    low, high = display_range(data, windows[FIRST_PRESET])
    step = (high - low) / _LEVELS
    small = np.clip((data - low) / step + 0.5, 0, _LEVELS).astype(np.uint8)
    presets = {name: _in_steps(windows.get(name, (low, high)), low, step) for name in PRESETS}
    small, affine = thinned(small, image.affine)
    content = write_nifti(small, affine)
    slope, intercept = step * image.slope, low * image.slope + image.intercept
    return GreyCopy(content, small.shape, affine, slope, intercept, presets)


def thinned(data: Array, affine: Matrix) -> tuple[Array, Matrix]:
    """Return every second voxel of a volume along its finest axis, as often as it has more than `LARGEST` voxels.

    Args:
        data: (X, Y, Z).
        affine: (4, 4) voxel-to-RAS, mm.
    """
    affine = affine.copy()
    while data.size > LARGEST:
        axis = int(np.argmin((affine[:3, :3] ** 2).sum(axis=0)))
        data = data[tuple(slice(None, None, 2 if place == axis else 1) for place in range(3))]
        affine[:3, axis] *= 2
    return data, affine


def _in_steps(window: tuple[float, float], low: float, step: float) -> tuple[float, float]:
    first, last = (min(max((value - low) / step, 0.0), float(_LEVELS)) for value in window)
    return (first, last) if last > first else (0.0, float(_LEVELS))


def display_range(data: Array, window: tuple[float, float]) -> tuple[float, float]:
    """Return the range of finite values mapped to 8 bits: wider than the window on both sides, within the data."""
    width = window[1] - window[0]
    low = max(float(data.min()), window[0] - width / 2)
    high = min(float(data.max()), window[1] + width)
    return (low, high) if high > low else (low, low + 1.0)


def labels_file(scene: Scene, threshold: float | None) -> bytes:
    """Return the class ids of the result; at another threshold 1 for lesion."""
    labels = scene.labels if threshold is None else scene.mask(threshold)
    return write_nifti(labels.astype(np.uint8), scene.image.affine)


def lesions_file(scene: Scene) -> bytes:
    """Return the id of the lesion at each voxel, with 8 bits where that is enough."""
    return write_nifti(scene.instances.astype(np.min_scalar_type(int(scene.instances.max()))), scene.image.affine)


def brain_file(brain: Mask, scene: Scene) -> bytes:
    """Return the brain mask, on the grid of the scene."""
    return write_nifti(brain.astype(np.uint8), scene.image.affine)
