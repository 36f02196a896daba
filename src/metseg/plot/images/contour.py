"""Draw the border of a mask as a line in a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.picture_style import Colour, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Left, right, bottom and top of a picture in the figure's coordinates, as ``Axes.imshow`` takes them.
Extent = tuple[float, float, float, float]


def draw_contour(
    axes: Axes, mask: npt.NDArray[np.bool_], *, colour: Colour, width: float, extent: Extent | None = None
) -> None:
    """Draw the border of a mask along the edges between inner and outer pixels.

    Args:
        axes: axes of the picture.
        mask: (rows, cols); nothing is drawn if it is empty.
        colour: of the line.
        width: of the line, in points.
        extent: position of the picture; None: the default position of ``imshow``.
    """
    if not mask.any():
        return
    rows, cols = mask.shape
    left, right, bottom, top = extent or (-0.5, cols - 0.5, rows - 0.5, -0.5)
    # One ring of background closes the outline of a lesion that reaches the picture's edge.
    x = left + (np.arange(-1, cols + 1) + 0.5) / cols * (right - left)
    y = top + (np.arange(-1, rows + 1) + 0.5) / rows * (bottom - top)
    axes.contour(x, y, np.pad(mask, 1).astype(float), levels=[0.5], colors=[hexadecimal(colour)], linewidths=width)
