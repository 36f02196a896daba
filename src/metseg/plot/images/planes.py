"""A volume in three planes through a lesion.

The patient's right is on the left, the nose is up in axial planes and on the left in sagittal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.picture_style import Styles
from metseg.plot.images.annotations import (
    TEXT,
    TITLE_POINTS,
    draw_bar,
    draw_cross,
    draw_head,
    draw_heat_bar,
    draw_legend,
    draw_letters,
)
from metseg.plot.images.overlay import draw_heat, draw_labels, grey
from metseg.plot.style import figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Letters at the left, right, top and bottom of each of `PLANES`.
LETTERS: Sequence[str] = ("RLAP", "RLSI", "APSI")

#: Per plane: its name, the axis it is across, and the axes that run to the right and down the picture, in RAS+.
PLANES: Sequence[tuple[str, int, int, int]] = (("axial", 2, 0, 1), ("coronal", 1, 0, 2), ("sagittal", 0, 1, 2))

PANEL_INCHES, TITLE_INCHES, MARGIN_INCHES = 3.0, 0.32, 0.6
BAR_INCHES = 0.9

#: Voxels brighter than this share of the 99th percentile are shown with this margin in voxels; the rest is air.
AIR_SHARE, MARGIN_VOXELS = 0.05, 4


@dataclass(frozen=True)
class Caption:
    """What a figure says of its image and labels.

    Args:
        case: name of the case.
        styles: of the classes, from `metseg.class_styles`.
    """

    case: str
    styles: Styles


@dataclass(frozen=True)
class HeatMap:
    """Values over a volume.

    Args:
        values: (X, Y, Z) from 0 to 1, in RAS+.
        title: of the colour bar.
    """

    values: npt.NDArray[np.floating]
    title: str


@dataclass(frozen=True)
class Cut:
    """Three planes through one point.

    Args:
        centre: (x, y, z) voxel where the planes meet.
        title: description of the point.
    """

    centre: tuple[int, int, int]
    title: str


def draw_planes(
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    path: Path,
    *,
    spacing_mm: tuple[float, float, float],
    cuts: Sequence[Cut],
    caption: Caption,
    heat: HeatMap | None = None,
) -> None:
    """Write a picture with one row per cut: axial, coronal and sagittal, lesions filled and outlined.

    Args:
        image: (X, Y, Z) in RAS+.
        labels: (X, Y, Z) class ids.
        path: PNG or SVG.
        spacing_mm: voxel size, for true proportions.
        cuts: at least one.
        caption: name of the case and styles of the classes.
        heat: laid over the image, with a colour bar; lesions are then outlined only.
    """
    width, height = _size_inches(cuts)
    with figure(width=width + (0.0 if heat is None else BAR_INCHES), height=height) as drawn:
        _fill(drawn, image, labels, spacing_mm=spacing_mm, cuts=cuts, caption=caption, heat=heat)
        save(drawn, path)


def show_planes(
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    cuts: Sequence[Cut],
    caption: Caption,
) -> npt.NDArray[np.object_]:
    """Draw what `draw_planes` writes into a new figure of pyplot, and return its axes (cuts, 3)."""
    from matplotlib import pyplot

    drawn = pyplot.figure(figsize=_size_inches(cuts), layout="constrained")
    return _fill(drawn, image, labels, spacing_mm=spacing_mm, cuts=cuts, caption=caption)


def _size_inches(cuts: Sequence[Cut]) -> tuple[float, float]:
    return PANEL_INCHES * len(PLANES), (PANEL_INCHES + TITLE_INCHES) * len(cuts) + MARGIN_INCHES


def _fill(
    drawn: Figure,
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    cuts: Sequence[Cut],
    caption: Caption,
    heat: HeatMap | None = None,
) -> npt.NDArray[np.object_]:
    """Fill a figure with one row per cut, and return its axes (cuts, 3)."""
    box = shown_box(image)
    image, labels = image[box], labels[box]
    values = None if heat is None else heat.values[box]
    draw_head(drawn, caption.case)
    rows = drawn.subplots(len(cuts), len(PLANES), squeeze=False)
    for places, cut in zip(rows, cuts, strict=True):
        centre = [place - side.start for place, side in zip(cut.centre, box, strict=True)]
        for axes, plane in zip(places, range(len(PLANES)), strict=True):
            name, across, *_ = PLANES[plane]
            picture = plane_picture(
                image, labels, across=across, index=centre[across], styles=caption.styles, heat=values
            )
            _draw_plane(axes, picture, plane, shape=image.shape, centre=centre, spacing_mm=spacing_mm)
            title = f"{name}, {cut.title}" if across == 2 else name
            axes.set_title(title, fontsize=TITLE_POINTS, color=TEXT, weight="normal")
    if heat is not None:
        draw_heat_bar(drawn, rows, heat.title)
    draw_legend(drawn, [caption.styles[value] for value in map(int, np.unique(labels)) if value in caption.styles])
    return np.asarray(rows, dtype=object)


def _draw_plane(
    axes: Axes,
    picture: npt.NDArray[np.uint8],
    plane: int,
    *,
    shape: tuple[int, ...],
    centre: Sequence[int],
    spacing_mm: tuple[float, float, float],
) -> None:
    """Draw the picture of one of `PLANES` through a voxel into axes in millimetres."""
    _, _, right, up = PLANES[plane]
    width, height = shape[right] * spacing_mm[right], shape[up] * spacing_mm[up]
    axes.imshow(picture, extent=(0.0, width, height, 0.0), interpolation="bilinear")
    axes.set_axis_off()
    x = (shape[right] - centre[right] - 0.5) * spacing_mm[right]
    y = (shape[up] - centre[up] - 0.5) * spacing_mm[up]
    draw_cross(axes, (x, y))
    draw_letters(axes, LETTERS[plane])
    draw_bar(axes)


def shown_box(image: npt.NDArray[np.generic]) -> tuple[slice, slice, slice]:
    """Return the visible part of a volume (X, Y, Z): without the air around the head."""
    values = np.asarray(image, dtype=np.float32)
    low, high = float(values.min()), float(np.percentile(values, 99))
    bright = values > low + AIR_SHARE * (high - low)
    sides = []
    for axis, size in enumerate(image.shape):
        there = np.flatnonzero(bright.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(there[0]), int(there[-1])) if there.size else (0, size - 1)
        sides.append(slice(max(first - MARGIN_VOXELS, 0), min(last + MARGIN_VOXELS + 1, size)))
    x, y, z = sides
    return x, y, z


def plane_picture(
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    *,
    across: int,
    index: int,
    styles: Styles,
    heat: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return (rows, columns, 3) uint8 of a plane of a volume in RAS+, its labels drawn on; over a heat map, outlined.

    The patient's right (or the front, in the sagittal plane) is on the left; superior or anterior is at the top.
    """
    plane, ids = grey(np.take(image, index, axis=across)), np.take(labels, index, axis=across)
    if heat is None:
        plane = draw_labels(plane, ids, styles)
    else:
        plane = draw_labels(draw_heat(plane, np.take(heat, index, axis=across)), ids, styles, opacity=0.0)
    return np.ascontiguousarray(plane[::-1, ::-1].transpose(1, 0, 2))


def cut_through(shape: Sequence[int], centre: Sequence[float], title: str) -> Cut:
    """Return the cut through the voxel nearest to a point."""
    x, y, z = (min(max(round(value), 0), size - 1) for value, size in zip(centre, shape, strict=True))
    return Cut((x, y, z), title)
