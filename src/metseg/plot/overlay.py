"""A mask drawn over a picture: outline or fill, in colours that everybody can tell apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion

#: Okabe & Ito (2008): distinguishable with every common kind of colour vision, on grey.
TRUTH_COLOUR = (0, 158, 115)
PREDICTION_COLOUR = (230, 159, 0)
CLASS_COLOURS: Mapping[int, tuple[int, int, int]] = {
    1: (230, 159, 0),
    2: (86, 180, 233),
    3: (213, 94, 0),
    4: (204, 121, 167),
    5: (240, 228, 66),
    6: (0, 114, 178),
    7: (0, 158, 115),
}

Rgb = npt.NDArray[np.uint8]


def grey(picture: npt.NDArray[np.generic]) -> Rgb:
    """Return a picture (X, Y) of any range as (X, Y, 3) uint8, its 1st to 99.5th percentile from black to white."""
    values = np.asarray(picture, dtype=np.float32)
    low, high = np.percentile(values, [1, 99.5])
    if high <= low:
        low, high = float(values.min()), float(values.max())
    scaled = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    return np.repeat((255 * scaled + 0.5).astype(np.uint8)[..., None], 3, axis=-1)


def outline(mask: npt.NDArray[np.bool_], *, width: int = 1) -> npt.NDArray[np.bool_]:
    """Return the inner border of a mask (X, Y), ``width`` pixels wide; at the picture's edge it is closed."""
    return np.asarray(mask & ~binary_erosion(mask, iterations=width, border_value=0))


def draw_outline(picture: Rgb, mask: npt.NDArray[np.bool_], colour: tuple[int, int, int], *, width: int = 1) -> Rgb:
    """Return the picture (X, Y, 3) with the mask's outline painted on."""
    painted = picture.copy()
    painted[outline(mask, width=width)] = colour
    return painted


def draw_labels(picture: Rgb, labels: npt.NDArray[np.uint8], *, opacity: float = 0.35) -> Rgb:
    """Return the picture (X, Y, 3) with every class filled in its colour and outlined.

    Args:
        picture: from `grey`.
        labels: (X, Y) class ids.
        opacity: of the filling; 0 leaves the outline alone.
    """
    painted = picture.astype(np.float32)
    for value in np.unique(labels[labels > 0]):
        colour = np.asarray(CLASS_COLOURS[(int(value) - 1) % len(CLASS_COLOURS) + 1], dtype=np.float32)
        mask = labels == value
        painted[mask] = (1 - opacity) * painted[mask] + opacity * colour
        painted[outline(mask)] = colour
    return (painted + 0.5).astype(np.uint8)
