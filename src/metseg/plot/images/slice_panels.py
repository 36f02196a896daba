"""Slices of images side by side in a figure of pyplot, so that notebooks display it and ``plt.show()`` works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from metseg.geometry import Affine, Grid, same_grid, spacing_mm, turn_to_ras, voxel_map
from metseg.picture_style import class_colour
from metseg.plot.images.contour import draw_contour
from metseg.plot.images.overlay import grey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_INCHES, TITLE_INCHES = 3.0, 0.35

#: Points.
OUTLINE_WIDTH = 1.2


class Image(NamedTuple):
    """An image and its position in space.

    Args:
        data: (X, Y, Z).
        affine: (4, 4) voxel-to-RAS matrix, mm; None for pictures.
    """

    data: npt.NDArray[np.generic]
    affine: Affine | None

    @property
    def grid(self) -> Grid:
        x, y, z = self.data.shape
        return Grid((x, y, z), self.affine)

    def in_ras(self) -> Image:
        """Return the image with its axes turned to RAS+; pictures stay as they are."""
        if self.affine is None:
            return self
        turn = turn_to_ras(self.affine)
        return Image(turn(self.data), turn.affine(self.affine, self.data.shape))

    def plane(self, z: int) -> npt.NDArray[np.generic]:
        """Return (rows, columns) of a slice of an image in RAS+: the patient's right is left, the nose is up."""
        plane = self.data[:, :, z] if self.affine is None else self.data[::-1, ::-1, z]
        return plane.T

    @property
    def aspect(self) -> float:
        """Return the height of a pixel of a plane relative to its width."""
        if self.affine is None:
            return 1.0
        x, y, _ = spacing_mm(self.affine)
        return y / x


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Args:
        picture: (rows, columns) of any range, or (rows, columns, 3) uint8.
        title: text above the panel.
        labels: (rows, columns) class ids, which are outlined; None: nothing is.
        aspect: height of a pixel relative to its width.
    """

    picture: npt.NDArray[np.generic]
    title: str
    labels: npt.NDArray[np.integer] | None = None
    aspect: float = 1.0


def show_panels(panels: Sequence[Panel], *, columns: int | None = None) -> npt.NDArray[np.object_]:
    """Draw panels into a new figure of pyplot.

    Args:
        panels: at least one, in reading order.
        columns: number of panels side by side; None: all of them.
    Returns:
        (rows, columns) Matplotlib axes.
    """
    from matplotlib import pyplot

    across = columns or len(panels)
    down = -(-len(panels) // across)
    size = (PANEL_INCHES * across, (PANEL_INCHES + TITLE_INCHES) * down)
    _, axes = pyplot.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    for place in axes.flat:
        place.set_axis_off()
    for place, panel in zip(axes.flat, panels, strict=False):
        _draw(place, panel)
    return np.asarray(axes, dtype=object)


def _draw(axes: Axes, panel: Panel) -> None:
    picture = panel.picture if panel.picture.ndim == 3 else grey(panel.picture)
    axes.imshow(picture, aspect=panel.aspect)
    axes.set_title(panel.title, fontsize=9)
    for label in () if panel.labels is None else np.unique(panel.labels[panel.labels > 0]):
        draw_contour(axes, panel.labels == label, colour=class_colour(int(label)), width=OUTLINE_WIDTH)


def show_images(
    images: Mapping[str, Image], labels: Image | None = None, *, z: int | None = None
) -> npt.NDArray[np.object_]:
    """Draw the same slice of several images side by side.

    Args:
        images: sequence to image; at least one.
        labels: class ids, outlined on the images that are on their grid.
        z: slice number in the labels, or in the first image if there are none: from the feet up, or in the order of
            the pictures; None: the slice with the most labels, or the middle one.
    Returns:
        (1, number of images) Matplotlib axes.
    Raises:
        IndexError: the slice does not exist.
    """
    turned = {name: image.in_ras() for name, image in images.items()}
    outlined = None if labels is None else labels.in_ras()
    reference = outlined or next(iter(turned.values()))
    chosen = fullest_slice(outlined) if z is None else z
    chosen = reference.data.shape[2] // 2 if chosen is None else chosen
    if not 0 <= chosen < reference.data.shape[2]:
        raise IndexError(chosen)
    panels = []
    for name, image in turned.items():
        number = _same_height(image, reference, chosen)
        on_grid = outlined is not None and same_grid(image.grid, outlined.grid)
        drawn = outlined.plane(chosen).astype(np.int64) if outlined is not None and on_grid else None
        panels.append(Panel(image.plane(number), f"{name}, slice {number}", drawn, image.aspect))
    return show_panels(panels)


def fullest_slice(labels: Image | None) -> int | None:
    """Return the slice with the most labels; None without any."""
    if labels is None or not labels.data.any():
        return None
    return int(np.count_nonzero(labels.data, axis=(0, 1)).argmax())


def _same_height(image: Image, reference: Image, z: int) -> int:
    """Return the slice of an image that is nearest to the middle of a slice of another image."""
    depth = image.data.shape[2]
    if image.affine is None or reference.affine is None:
        return int(min(z, depth - 1))
    x, y, _ = reference.data.shape
    middle = np.array([(x - 1) / 2, (y - 1) / 2, z, 1.0])
    return int(np.clip(np.rint((voxel_map(image.affine, reference.affine) @ middle)[2]), 0, depth - 1))
