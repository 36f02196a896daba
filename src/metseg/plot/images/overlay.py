"""Draw a mask over a picture, as outline or fill, in colours that are safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from metseg.disclaimer import NOTICE
from metseg.picture_style import PREDICTION_COLOUR, TRUTH_COLOUR, ClassStyle, Colour, Styles, class_colour

__all__ = [
    "HEAT_COLOURS",
    "PREDICTION_COLOUR",
    "TRUTH_COLOUR",
    "draw_heat",
    "draw_labels",
    "draw_outline",
    "grey",
    "outline",
    "window_of",
    "with_caption",
]

#: The caption below a picture: text size in pixels for this width and at least, height of a line, and margin.
_TEXT_SHARE, _LEAST_TEXT, _LINE, _MARGIN = 1 / 40, 11, 1.5, 4
_TEXT_COLOUR: Colour = (255, 255, 255)

#: Matplotlib's name of the colours of heat maps, on which orange and red outlines stay visible, and the opacity of 1.
HEAT_COLOURS, HEAT_OPACITY = "viridis", 0.75

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


def draw_labels(picture: Rgb, labels: npt.NDArray[np.uint8], styles: Styles, *, opacity: float = 0.35) -> Rgb:
    """Return the picture (X, Y, 3) with every class filled in its colour and outlined.

    Args:
        picture: from `grey`.
        labels: (X, Y) class ids.
        styles: of the classes, from `metseg.class_styles`.
        opacity: of the fill; 0 draws only the outline.
    """
    painted = picture.astype(np.float32)
    for value in np.unique(labels[labels > 0]):
        colour = np.asarray(class_colour(int(value), styles), dtype=np.float32)
        mask = labels == value
        painted[mask] = (1 - opacity) * painted[mask] + opacity * colour
        painted[outline(mask)] = colour
    return (painted + 0.5).astype(np.uint8)


def draw_heat(picture: Rgb, heat: npt.NDArray[np.floating]) -> Rgb:
    """Return the picture (A, B, 3) with a map (A, B) of values from 0, transparent, to 1 laid over it."""
    from matplotlib import colormaps

    values = np.clip(np.asarray(heat, dtype=np.float32), 0, 1)
    coloured = 255 * np.asarray(colormaps[HEAT_COLOURS](values), dtype=np.float32)[..., :3]
    share = (HEAT_OPACITY * np.sqrt(values))[..., None]
    return ((1 - share) * picture + share * coloured + 0.5).astype(np.uint8)


def with_caption(picture: Rgb, case: str, legend: Sequence[ClassStyle]) -> Rgb:
    """Return a picture with its name, the disclaimer and a legend below it; the picture itself is unchanged.

    Args:
        picture: (rows, columns, 3). A narrow one is widened on the right, so that the text fits.
        case: name of the picture or of its study.
        legend: classes that are drawn.
    Returns:
        (rows and those of the caption, columns or more, 3).
    """
    rows, columns = picture.shape[:2]
    size = max(round(columns * _TEXT_SHARE), _LEAST_TEXT)
    font, line = ImageFont.load_default(size), round(size * _LINE)
    texts = [*((style.title, style.colour) for style in legend), (case, None), (NOTICE, None)]
    indent = [line if colour else 0 for _, colour in texts]
    width = max(
        columns, *(2 * _MARGIN + at + int(font.getlength(text)) for at, (text, _) in zip(indent, texts, strict=True))
    )
    canvas = Image.new("RGB", (width, rows + line * len(texts) + 2 * _MARGIN))
    canvas.paste(Image.fromarray(np.ascontiguousarray(picture)), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for place, (at, (text, colour)) in enumerate(zip(indent, texts, strict=True)):
        top = rows + _MARGIN + place * line
        if colour is not None:
            pen.rectangle((_MARGIN, top, _MARGIN + size - 1, top + size - 1), fill=colour)
        pen.text((_MARGIN + at, top + size / 2), text, fill=_TEXT_COLOUR, font=font, anchor="lm")
    return np.asarray(canvas, dtype=np.uint8)
