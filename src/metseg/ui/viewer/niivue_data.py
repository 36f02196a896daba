"""Data for NiiVue: a small copy of the image and the lesions as overlays, whole or cropped around a lesion.

The NiiVue component draws linked planes and a 3D rendering, and reports clicks. Its position cannot be set, but it
starts at the middle of the image. So the page shows a lesion by sending a box with the lesion's typical voxel at its
centre. Windows are set in the header of the copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.ui.viewer.display_controls import Look
from metseg.ui.viewer.legend import SELECTED, class_id_colour
from metseg.ui.viewer.nifti_bytes import Array, Matrix, boxed, write_nifti
from metseg.ui.viewer.scene import Mask, Point, Scene

_ndimage: Any = ndimage

#: Margin in mm on each side of a lesion's typical voxel.
AROUND_MM: Final = 45.0
#: A voxel of NIfTI with colours: NiiVue shows them as they are, where its colour maps lack ours.
RGBA: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])

#: View modes of the component by their label on the page.
VIEWS: Final[Mapping[str, str]] = {
    "All": "multiplanar",
    "3D": "3d",
    "Axial": "axial",
    "Coronal": "coronal",
    "Sagittal": "sagittal",
}

#: Minimum interval of click events, so that dragging does not flood the page.
CLICK_EVERY_MS: Final = 350
_LEVELS: Final = 255


@dataclass(frozen=True)
class Box:
    """Displayed part of a volume.

    Args:
        centre: central voxel.
        half: number of voxels on each side, per axis.
    """

    centre: Point
    half: Point


def box_around(scene: Scene, point: Point) -> Box:
    """Return the box around a voxel, cubic in mm."""
    x, y, z = (max(round(AROUND_MM / spacing), 1) for spacing in scene.spacing_mm)
    return Box(point, (x, y, z))


def image_file(scene: Scene, window: tuple[float, float], box: Box | None) -> bytes:
    """Return the image for the viewer with 8 bits: a quarter of the size, and enough for screens.

    Args:
        scene: scene of the study.
        window: stored values drawn black and white.
        box: displayed part; None: the whole volume.
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
    """Return the range of values mapped to 8 bits: wider than the window on both sides, within the data."""
    width = window[1] - window[0]
    low = max(float(np.nanmin(data)), window[0] - width / 2)
    high = min(float(np.nanmax(data)), window[1] + width)
    return (low, high) if high > low else (low, low + 1.0)


def overlay_file(labels: Array, selected: Mask, affine: Matrix, box: Box | None, look: Look) -> bytes:
    """Return lesions for the viewer, each class in its colour, and a white line around the selected lesion.

    Args:
        labels: (X, Y, Z) class ids.
        selected: (X, Y, Z) the selected lesion; empty if there is none.
        affine: (4, 4) voxel-to-RAS, mm.
        box: displayed part; None: the whole volume.
        look: with ``style.contour``, only the inner border of each class is coloured.
    """
    shown, placed = _part(labels, affine, box)
    chosen, _ = _part(selected, affine, box)
    drawn = np.zeros(shown.shape, dtype=RGBA)
    for value in np.unique(shown[shown > 0]):
        mask = shown == value
        drawn[shell(mask) if look.style.contour else mask] = (*class_id_colour(int(value), look.scheme), _LEVELS)
    if chosen.any():
        drawn[_ndimage.binary_dilation(chosen) & ~chosen] = (*SELECTED.colour, _LEVELS)
    return write_nifti(drawn, placed, shown=(0.0, 1.0))


def shell(mask: Mask) -> Mask:
    """Return the border of a mask: its voxels with a face neighbour outside."""
    return np.asarray(mask & ~_ndimage.binary_erosion(mask, border_value=0))


def overlay(content: bytes, *, opacity: float) -> dict[str, Any]:
    """Return an overlay in the component's format; it detects changes by name, so the name contains a hash."""
    digest = hashlib.sha256(content).hexdigest()[:12]
    return {"data": content, "name": f"lesions-{digest}.nii.gz", "opacity": opacity}


def clicked_mm(event: object) -> tuple[float, float, float] | None:
    """Return the clicked position in RAS mm from an event of the component; None if there is none.

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
