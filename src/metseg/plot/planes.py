"""A volume in three planes through a lesion, with the patient's right on the left and the nose up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metseg.plot.overlay import draw_labels, grey
from metseg.plot.style import figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Per plane: its name, the axis it is across, and the axes that run to the right and down the picture, in RAS+.
PLANES: Sequence[tuple[str, int, int, int]] = (("axial", 2, 0, 1), ("coronal", 1, 0, 2), ("sagittal", 0, 1, 2))

PANEL_INCHES, TITLE_INCHES = 3.0, 0.32
BACKGROUND, TEXT = "#111111", "#ffffff"

#: Where the planes meet.
CROSS: Mapping[str, Any] = {"color": "#ffffff", "linewidth": 0.6, "alpha": 0.35}

#: Voxels brighter than this share of the 99th percentile are shown with this margin in voxels; the rest is air.
AIR_SHARE, MARGIN_VOXELS = 0.05, 4


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
) -> None:
    """Write a picture with one row per cut: axial, coronal and sagittal, lesions filled and outlined.

    Args:
        image: (X, Y, Z) in RAS+.
        labels: (X, Y, Z) class ids.
        path: PNG or SVG.
        spacing_mm: voxel size, for true proportions.
        cuts: at least one.
    """
    width, height = _size_inches(cuts)
    with figure(width=width, height=height) as drawn:
        _fill(drawn, image, labels, spacing_mm=spacing_mm, cuts=cuts)
        save(drawn, path)


def show_planes(
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    cuts: Sequence[Cut],
) -> npt.NDArray[np.object_]:
    """Draw what `draw_planes` writes into a new figure of pyplot, and return its axes (cuts, 3)."""
    from matplotlib import pyplot

    drawn = pyplot.figure(figsize=_size_inches(cuts), layout="constrained")
    return _fill(drawn, image, labels, spacing_mm=spacing_mm, cuts=cuts)


def _size_inches(cuts: Sequence[Cut]) -> tuple[float, float]:
    return PANEL_INCHES * len(PLANES), (PANEL_INCHES + TITLE_INCHES) * len(cuts)


def _fill(
    drawn: Figure,
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    *,
    spacing_mm: tuple[float, float, float],
    cuts: Sequence[Cut],
) -> npt.NDArray[np.object_]:
    """Fill a figure with one row per cut, and return its axes (cuts, 3)."""
    box = shown_box(image)
    image, labels = image[box], labels[box]
    drawn.set_facecolor(BACKGROUND)
    rows = drawn.subplots(len(cuts), len(PLANES), squeeze=False)
    for places, cut in zip(rows, cuts, strict=True):
        for axes, (name, across, right, up) in zip(places, PLANES, strict=True):
            centre = [place - side.start for place, side in zip(cut.centre, box, strict=True)]
            picture = plane_picture(image, labels, across=across, index=centre[across])
            ratio = spacing_mm[up] / spacing_mm[right]
            axes.imshow(picture, aspect=ratio, interpolation="bilinear")
            axes.axvline(image.shape[right] - 1 - centre[right], **CROSS)
            axes.axhline(image.shape[up] - 1 - centre[up], **CROSS)
            axes.set_title(f"{name}, {cut.title}" if across == 2 else name, fontsize=9, color=TEXT)
            axes.set_axis_off()
    return np.asarray(rows, dtype=object)


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
    image: npt.NDArray[np.generic], labels: npt.NDArray[np.uint8], *, across: int, index: int
) -> npt.NDArray[np.uint8]:
    """Return (rows, columns, 3) uint8 of a plane of a volume in RAS+, its labels drawn on.

    The patient's right (or the front, in the sagittal plane) is on the left; superior or anterior is at the top.
    """
    plane = draw_labels(grey(np.take(image, index, axis=across)), np.take(labels, index, axis=across))
    return np.ascontiguousarray(plane[::-1, ::-1].transpose(1, 0, 2))


def cut_through(shape: Sequence[int], centre: Sequence[float], title: str) -> Cut:
    """Return the cut through the voxel nearest to a point."""
    x, y, z = (min(max(round(value), 0), size - 1) for value, size in zip(centre, shape, strict=True))
    return Cut((x, y, z), title)
