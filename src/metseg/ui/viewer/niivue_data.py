"""What NiiVue is given: a small copy of the image, the lesions as an overlay, and both around one lesion.

NiiVue's component draws linked planes and a 3D rendering and says where the user clicks. It cannot be told where to
look; but it begins in the middle of what it is given. So looking at a lesion is giving it a box with the lesion in its
middle; windows are set in the header of the copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.ui.viewer.nifti_bytes import Array, Matrix, boxed, write_nifti
from metseg.ui.viewer.scene import Mask, Point, Scene

_ndimage: Any = ndimage

#: What is shown on each side of a lesion.
AROUND_MM: Final = 45.0
#: NiiVue's own colours for all lesions and for the one that is looked at.
LESION_COLOURS, SELECTED_COLOURS = "red", "blue2cyan"

#: What the component calls ways of looking, and what they are called here.
VIEWS: Final[Mapping[str, str]] = {
    "All": "multiplanar",
    "3D": "3d",
    "Axial": "axial",
    "Coronal": "coronal",
    "Sagittal": "sagittal",
}

#: Clicks within this are told together, so that dragging does not flood the page.
CLICK_EVERY_MS: Final = 350
_LEVELS: Final = 255


@dataclass(frozen=True)
class Box:
    """What part of a volume is shown.

    Args:
        centre: voxel in the middle.
        half: voxels on each side.
    """

    centre: Point
    half: Point


def box_around(scene: Scene, point: Point) -> Box:
    """Return the box around a voxel, cubic in mm."""
    x, y, z = (max(round(AROUND_MM / spacing), 1) for spacing in scene.spacing_mm)
    return Box(point, (x, y, z))


def image_file(scene: Scene, window: tuple[float, float], box: Box | None) -> bytes:
    """Return the image for the viewer, with 8 bits: a quarter of the size, and no screen shows more.

    Args:
        scene: of the study.
        window: values drawn black and white, as stored.
        box: what part; None: all.
    """
    low, high = display_range(scene.image.data, window)
    data, affine = _part(scene.image.data, scene.image.affine, box)
    step = (high - low) / _LEVELS
    small = np.clip((np.nan_to_num(data.astype(np.float32)) - low) / step, 0, _LEVELS).astype(np.uint8)
    slope, intercept = scene.image.slope, scene.image.intercept
    return write_nifti(
        small,
        affine,
        shown=(window[0] * slope + intercept, window[1] * slope + intercept),
        slope=step * slope,
        intercept=low * slope + intercept,
    )


def display_range(data: Array, window: tuple[float, float]) -> tuple[float, float]:
    """Return the values that 8 bits are spread over: some more than the window on both sides, within the data."""
    width = window[1] - window[0]
    low = max(float(np.nanmin(data)), window[0] - width / 2)
    high = min(float(np.nanmax(data)), window[1] + width)
    return (low, high) if high > low else (low, low + 1.0)


def overlay_file(mask: Mask, affine: Matrix, box: Box | None, *, contour: bool) -> bytes:
    """Return a mask for the viewer; outlined, it is its own inner border."""
    data, placed = _part(mask.astype(np.uint8), affine, box)
    if contour:
        data = shell(data > 0).astype(np.uint8)
    return write_nifti(data, placed, shown=(0.0, 1.0))


def shell(mask: Mask) -> Mask:
    """Return the border of a mask as every plane shows it: what has a neighbour outside, seen along any axis."""
    return np.asarray(mask & ~_ndimage.binary_erosion(mask, border_value=0))


def overlay(content: bytes, *, name: str, colours: str, opacity: float) -> dict[str, Any]:
    """Return an overlay as the component takes it; it tells a change by the name, so the name tells the content."""
    digest = hashlib.sha256(content).hexdigest()[:12]
    return {"data": content, "name": f"{name}-{digest}.nii.gz", "colormap": colours, "opacity": opacity}


def clicked_mm(event: object) -> tuple[float, float, float] | None:
    """Return where the user clicked, in RAS mm, from what the component says.

    >>> clicked_mm({"type": "voxel_click", "mm": [1, 2.5, -3]})
    (1.0, 2.5, -3.0)
    """
    place = event.get("mm") if isinstance(event, Mapping) else None
    if not isinstance(place, Sequence) or len(place) < 3:
        return None
    if not all(isinstance(value, int | float) and np.isfinite(value) for value in place[:3]):
        return None
    return float(place[0]), float(place[1]), float(place[2])


def _part(data: Array, affine: Matrix, box: Box | None) -> tuple[npt.NDArray[Any], Matrix]:
    return (data, affine) if box is None else boxed(data, affine, box.centre, box.half)
