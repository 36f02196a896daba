"""Draw a mask over a picture, as outline or fill, in colours that are safe for colour-blind readers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion

from metseg.plot.colours import PREDICTION_COLOUR, TRUTH_COLOUR, Colour, class_colour

__all__ = ["PREDICTION_COLOUR", "TRUTH_COLOUR", "draw_labels", "draw_outline", "grey", "outline", "window_of"]

Rgb = npt.NDArray[np.uint8]


def grey(picture: npt.NDArray[np.generic], window: tuple[float, float] | None = None) -> Rgb:
    """Return a picture (A, B) of any range as (A, B, 3) uint8.

    Args:
        picture: either order of axes.
        window: the values shown black and white; None: from `window_of`. A constant picture is black.
    """
    values = np.asarray(picture, dtype=np.float32)
    low, high = window or window_of(values)
    scaled = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    return np.repeat((255 * scaled + 0.5).astype(np.uint8)[..., None], 3, axis=-1)


def window_of(picture: npt.NDArray[np.generic]) -> tuple[float, float]:
    """Return the values to show black and white: the 1st and 99.5th percentile, or the extremes if these are equal."""
    values = np.asarray(picture, dtype=np.float32)
    low, high = np.percentile(values, [1, 99.5])
    return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()))


def outline(mask: npt.NDArray[np.bool_], *, width: int = 1) -> npt.NDArray[np.bool_]:
    """Return the inner border of a mask (X, Y), ``width`` pixels wide; at the picture's edge it is closed."""
    return np.asarray(mask & ~binary_erosion(mask, iterations=width, border_value=0))


def draw_outline(picture: Rgb, mask: npt.NDArray[np.bool_], colour: Colour, *, width: int = 1) -> Rgb:
    """Return the picture (X, Y, 3) with the mask's outline painted on."""
    painted = picture.copy()
    painted[outline(mask, width=width)] = colour
    return painted


def draw_labels(picture: Rgb, labels: npt.NDArray[np.uint8], *, opacity: float = 0.35) -> Rgb:
    """Return the picture (X, Y, 3) with every class filled in its colour and outlined.

    Args:
        picture: from `grey`.
        labels: (X, Y) class ids.
        opacity: of the fill; 0 draws only the outline.
    """
    painted = picture.astype(np.float32)
    for value in np.unique(labels[labels > 0]):
        colour = np.asarray(class_colour(int(value)), dtype=np.float32)
        mask = labels == value
        painted[mask] = (1 - opacity) * painted[mask] + opacity * colour
        painted[outline(mask)] = colour
    return (painted + 0.5).astype(np.uint8)
