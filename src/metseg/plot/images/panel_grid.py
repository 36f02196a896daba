"""Pictures in rows and columns with titles and a legend: sequences with their mask, or image, truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.picture_style import ClassStyle
from metseg.plot.images.annotations import CAPTION_POINTS, TEXT, TITLE_POINTS, draw_head, draw_legend, write
from metseg.plot.style import figure, save

PANEL_INCHES, HEAD_INCHES, FOOT_INCHES = 2.2, 0.6, 0.4

Rgb = npt.NDArray[np.uint8]


def draw_panel_grid(
    rows: Sequence[Sequence[Rgb]],
    path: Path,
    *,
    titles: Sequence[str],
    names: Sequence[str],
    legend: Sequence[ClassStyle] = (),
) -> None:
    """Write pictures as a grid.

    Args:
        rows: pictures (rows, columns, 3), as many in each row as there are titles.
        path: PNG or SVG.
        titles: of the columns.
        names: of the rows, such as cases.
        legend: classes that are drawn.
    """
    height = PANEL_INCHES * len(rows) + HEAD_INCHES + FOOT_INCHES * bool(legend)
    with figure(width=PANEL_INCHES * len(titles), height=height) as drawn:
        draw_head(drawn, "")
        grid = drawn.subplots(len(rows), len(titles), squeeze=False)
        for row, (axes_row, pictures, name) in enumerate(zip(grid, rows, names, strict=True)):
            for axes, picture, title in zip(axes_row, pictures, titles, strict=True):
                axes.imshow(picture, interpolation="antialiased")
                axes.set_axis_off()
                if row == 0:
                    axes.set_title(title, fontsize=TITLE_POINTS, color=TEXT, weight="normal")
            write(axes_row[0], name, (0.03, 0.97), CAPTION_POINTS, ha="left", va="top")
        draw_legend(drawn, legend)
        save(drawn, path)
