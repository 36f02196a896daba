"""A contact sheet with one slice per patient and its lesion outlined, for an overview of a data set."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.picture_style import class_colour
from metseg.plot.images.contour import draw_contour
from metseg.plot.images.overlay import grey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Size of a tile in inches, on sheets with few and with many tiles; gap between tiles as a share of the size.
LARGE_TILE_INCHES, TILE_INCHES, FEW_TILES, GAP = 2.4, 1.35, 30, 0.04
HEADING_INCHES, MIN_WIDTH_INCHES = 0.35, 4.0

#: Points.
OUTLINE_WIDTH = 0.7

BACKGROUND, TEXT, FAINT = "#111111", "#ffffff", "#9a9a9a"


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet.

    Args:
        picture: (rows, cols), any real type.
        labels: (rows, cols) class ids, or None.
        title: text in the corner.
        window: the values shown black and white; None: from the picture itself, see `metseg.plot.images.overlay.grey`.
    """

    picture: npt.NDArray[np.generic]
    labels: npt.NDArray[np.integer] | None
    title: str
    window: tuple[float, float] | None = None


def contact_sheet(
    tiles: Sequence[Tile],
    path: Path,
    *,
    heading: str = "",
    columns: int | None = None,
    column_titles: Sequence[str] = (),
) -> None:
    """Write a contact sheet as a picture; the suffix of the path sets the format.

    Args:
        tiles: at least one, in reading order.
        path: path of the picture; its folder is created.
        heading: one line above.
        columns: number of tiles side by side; None: a sheet slightly wider than high.
        column_titles: titles above the first row, one for each column or none.
    """
    from metseg.plot.style import figure, save

    across = columns or max(1, min(len(tiles), math.ceil(math.sqrt(1.5 * len(tiles)))))
    down = math.ceil(len(tiles) / across)
    inches = LARGE_TILE_INCHES if len(tiles) <= FEW_TILES else TILE_INCHES
    width = max(MIN_WIDTH_INCHES, across * inches)
    line = HEADING_INCHES / inches
    head = line * (bool(heading) + bool(column_titles))
    with figure(width=width, height=(down + head) * inches) as drawn:
        drawn.set_layout_engine("none")
        drawn.set_facecolor(BACKGROUND)
        axes = drawn.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        for index, tile in enumerate(tiles):
            _draw(axes, tile, column=index % across, row=index // across)
        axes.set(xlim=(0, width / inches), ylim=(down, -head))
        if heading:
            axes.text(GAP, line / 2 - head, heading, color=TEXT, fontsize=9, va="center", ha="left")
        for column, title in enumerate(column_titles):
            axes.text(column + 0.5, -line / 3, title, color=TEXT, fontsize=8, va="center", ha="center")
        save(drawn, path)


def short_names(names: Sequence[str]) -> list[str]:
    """Shorten names by removing parts that all share and trailing parts that are not needed to distinguish them.

    >>> short_names(["TCGA_CS_4941_19960909", "TCGA_DU_4942_19970222"])
    ['CS', 'DU']
    >>> short_names(["TCGA_CS_4941_19960909", "TCGA_CS_4942_19970222", "TCGA_DU_4942_19970222"])
    ['CS_4941', 'CS_4942', 'DU_4942']
    """
    pieces = [re.split(r"(?<=[_-])", name) for name in names]
    shortest = min((len(parts) for parts in pieces), default=1)
    if len(set(names)) < 2:
        return list(names)
    begin = next(k for k in range(shortest + 1) if k == shortest or len({parts[k] for parts in pieces}) > 1)
    begin = min(begin, shortest - 1)
    for end in range(begin + 1, shortest + 1):
        short = ["".join(parts[begin:end]).rstrip("_-") for parts in pieces]
        if len(set(short)) == len(set(names)):
            return short
    return ["".join(parts[begin:]) for parts in pieces]


def _draw(axes: Axes, tile: Tile, *, column: int, row: int) -> None:
    from matplotlib.patheffects import withStroke

    rows, cols = tile.picture.shape
    side = 1 - 2 * GAP
    width, height = side * cols / max(rows, cols), side * rows / max(rows, cols)
    left, top = column + (1 - width) / 2, row + (1 - height) / 2
    extent = (left, left + width, top + height, top)
    axes.imshow(grey(tile.picture, tile.window), extent=extent, interpolation="antialiased", aspect="auto")
    for label in () if tile.labels is None else np.unique(tile.labels[tile.labels > 0]):
        colour = class_colour(int(label))
        draw_contour(axes, tile.labels == label, colour=colour, width=OUTLINE_WIDTH, extent=extent)
    halo = [withStroke(linewidth=1.5, foreground=BACKGROUND)]  # names stay readable on bright pictures
    left_edge = column + 2 * GAP
    axes.text(left_edge, row + 2 * GAP, tile.title, color=TEXT, fontsize=6, va="top", ha="left", path_effects=halo)
    if tile.labels is None or not tile.labels.any():
        note = "no mask" if tile.labels is None else "no lesion"
        axes.text(left_edge, row + 1 - 2 * GAP, note, color=FAINT, fontsize=6, va="bottom", ha="left")
