"""Draw planes on the server: a grey picture, lesions as contour or fill, a crosshair, and side markers."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from metseg.picture_style import Colour, bar_length

Rgb = npt.NDArray[np.uint8]
_ndimage: Any = ndimage

#: Pixels of the longer side of a drawn plane.
SIDE: Final = 560
_OUTLINE_PIXELS: Final = 2
_CROSSHAIR: Final = (120, 190, 130)
_MARK: Final = (235, 235, 235)
_MARK_SIZE: Final = 16
_BAR_TEXT_SIZE: Final = 13


@dataclass(frozen=True)
class Style:
    """Style of lesions.

    Args:
        contour: draw contours; else fill the lesions.
        opacity: opacity of lesions, 0 to 1.
    """

    contour: bool = True
    opacity: float = 0.6


@dataclass(frozen=True)
class Layer:
    """A mask and its colour.

    Args:
        mask: (rows, columns).
        colour: red, green, blue.
        is_halo: draw a line around the mask, so that the colours in it stay visible.
    """

    mask: npt.NDArray[np.bool_]
    colour: Colour
    is_halo: bool = False


@dataclass(frozen=True)
class Frame:
    """Size and decoration of a picture.

    Args:
        spacing: height and width of a pixel, in any unit.
        crosshair: row and column in pixels of the picture; None: no crosshair.
        marks: markers of left, right, top, bottom; None: no markers.
        has_bar: draw a scale bar; the unit of ``spacing`` is then mm.
        side: pixels of the longer side.
    """

    spacing: tuple[float, float] = (1.0, 1.0)
    crosshair: tuple[float, float] | None = None
    marks: tuple[str, str, str, str] | None = None
    has_bar: bool = False
    side: int = SIDE


def grey(values: npt.NDArray[Any], window: tuple[float, float]) -> Rgb:
    """Return values (rows, columns) as a grey picture (rows, columns, 3).

    >>> grey(np.array([[0.0, 5.0, 20.0]]), (0.0, 10.0))[0, :, 0].tolist()
    [0, 128, 255]
    """
    low, high = window
    scaled = np.clip((np.nan_to_num(values.astype(np.float32)) - low) / max(high - low, 1e-12), 0, 1)
    return np.repeat((255 * scaled + 0.5).astype(np.uint8)[..., None], 3, axis=-1)


def draw(picture: Rgb, layers: Sequence[Layer], style: Style, frame: Frame) -> Image.Image:
    """Return a picture with layers, scaled to square pixels.

    Args:
        picture: (rows, columns, 3).
        layers: later layers cover earlier ones.
        style: style of all layers.
        frame: size and decoration.
    """
    rows, columns = target_size(picture.shape[:2], frame)
    smooth = Image.fromarray(np.ascontiguousarray(picture)).resize((columns, rows), Image.Resampling.BICUBIC)
    painted = np.asarray(smooth, dtype=np.float32).copy()
    for layer in layers:
        _paint(painted, _enlarged(layer.mask, (rows, columns)), layer, style)
    drawn = Image.fromarray((painted + 0.5).astype(np.uint8))
    _decorate(drawn, picture.shape[:2], frame)
    return drawn


def target_size(shape: Sequence[int], frame: Frame) -> tuple[int, int]:
    """Return rows and columns of the drawn picture.

    >>> target_size((100, 50), Frame(spacing=(1.0, 1.0), side=200)), target_size((10, 50), Frame((5.0, 1.0), side=100))
    ((200, 100), (100, 100))
    """
    height, width = shape[0] * frame.spacing[0], shape[1] * frame.spacing[1]
    scale = frame.side / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def png(picture: Image.Image) -> bytes:
    """Return a picture as PNG."""
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG", compress_level=1)
    return encoded.getvalue()


def data_url(picture: Image.Image) -> str:
    """Return a picture as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"


def _enlarged(mask: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    rows, columns = size
    picture = Image.fromarray(np.ascontiguousarray(mask).astype(np.uint8) * 255)
    return np.asarray(picture.resize((columns, rows), Image.Resampling.NEAREST)) > 0


def _paint(painted: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], layer: Layer, style: Style) -> None:
    if not mask.any():
        return
    opacity = style.opacity
    if layer.is_halo:
        mask, opacity = _ndimage.binary_dilation(mask, iterations=_OUTLINE_PIXELS) & ~mask, 1.0
    elif style.contour:
        mask = mask & ~_ndimage.binary_erosion(mask, iterations=_OUTLINE_PIXELS, border_value=0)
    painted[mask] = (1 - opacity) * painted[mask] + opacity * np.asarray(layer.colour, dtype=np.float32)


def _decorate(drawn: Image.Image, shape: Sequence[int], frame: Frame) -> None:
    """Draw crosshair and side markers. The centre of the crosshair stays free to show the lesion."""
    pen = ImageDraw.Draw(drawn)
    width, height = drawn.size
    if frame.crosshair is not None:
        y = (frame.crosshair[0] + 0.5) / shape[0] * height
        x = (frame.crosshair[1] + 0.5) / shape[1] * width
        gap = frame.side * 0.035
        for line in ((0, y, x - gap, y), (x + gap, y, width, y), (x, 0, x, y - gap), (x, y + gap, x, height)):
            pen.line(line, fill=_CROSSHAIR, width=1)
    if frame.marks is not None:
        font = ImageFont.load_default(_MARK_SIZE)
        x, y = width / 2, height / 2
        places = ((8, y, "lm"), (width - 8, y, "rm"), (x, 6, "mt"), (x, height - 6, "mb"))
        for (left, top, anchor), mark in zip(places, frame.marks, strict=True):
            pen.text((left, top), mark, fill=_MARK, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    if frame.has_bar:
        _draw_bar(pen, drawn.size, shape[1] * frame.spacing[1])


def _draw_bar(pen: ImageDraw.ImageDraw, size: tuple[int, int], width_mm: float) -> None:
    """Draw a scale bar in the lower right corner of a picture that is ``width_mm`` wide."""
    length = bar_length(width_mm)
    right, bottom = size[0] - 10, size[1] - 10
    left = right - length / width_mm * size[0]
    pen.line((left - 1, bottom, right + 1, bottom), fill=(0, 0, 0), width=5)
    pen.line((left, bottom, right, bottom), fill=_MARK, width=3)
    font, place = ImageFont.load_default(_BAR_TEXT_SIZE), ((left + right) / 2, bottom - 5)
    pen.text(place, f"{length} mm", fill=_MARK, font=font, anchor="mb", stroke_width=1, stroke_fill=(0, 0, 0))
