"""Square panels side by side on black: a slice, outlines, a scale bar, orientation letters, and a legend below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.disclaimer import NOTICE
from metseg.picture_style import ClassStyle, Colour
from metseg.plot.images.annotations import (
    BACKGROUND,
    MARGIN,
    NAME_POINTS,
    TEXT,
    draw_bar,
    draw_cross,
    draw_letters,
    legend_patches,
    provenance_of,
    write,
)
from metseg.plot.images.contour import draw_contour
from metseg.plot.images.overlay import grey
from metseg.plot.style import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Side of a panel in print, and its resolution.
PANEL_INCHES, DOTS_PER_INCH = 1.72, 220
#: Black gap to the right of a panel, as a share of its width.
GAP = 0.015
#: Height of a line of the strip below the panels.
LINE_INCHES = 0.14
#: Number of panels from which the lines of the caption are joined to one.
WIDE_ROW = 3


@dataclass(frozen=True)
class Outline:
    """The outline of a mask.

    Args:
        mask: (rows, columns) in display orientation.
        colour: of the line.
        width: of the line, in points.
    """

    mask: npt.NDArray[np.bool_]
    colour: Colour
    width: float


@dataclass(frozen=True)
class Panel:
    """One panel of a row. Lengths are in millimetres, or in pixels for plain pictures.

    Args:
        name: name of the plane, shown in a corner.
        picture: (rows, columns) in display orientation, of any range.
        window: the values shown black and white; None: from the picture.
        size: width and height of the picture.
        centre: point in the middle of the panel: right and down from the picture's corner.
        field: side of the visible square.
        outlines: drawn in this order.
        letters: letters at the left, right, top and bottom; empty if not known.
        has_bar: whether lengths are millimetres, and a scale bar is drawn.
        cross: point marked by thin lines from the edges; None for none.
    """

    name: str
    picture: npt.NDArray[np.generic]
    window: tuple[float, float] | None
    size: tuple[float, float]
    centre: tuple[float, float]
    field: float
    outlines: Sequence[Outline] = ()
    letters: str = ""
    has_bar: bool = False
    cross: tuple[float, float] | None = None


@dataclass(frozen=True)
class Strip:
    """What is written below the panels.

    Args:
        case: name of the study.
        legend: classes that are outlined.
    """

    case: str
    legend: Sequence[ClassStyle] = ()


def draw_row(panels: Sequence[Panel], strip: Strip) -> tuple[bytes, tuple[int, int]]:
    """Draw panels side by side with a strip below; return the encoded PNG, and its columns and rows.

    Args:
        panels: at least one.
        strip: legend and name of the study.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    is_wide = len(panels) >= WIDE_ROW
    lines = [provenance_of(strip.case)] if is_wide else [strip.case, NOTICE]
    below = LINE_INCHES * (len(lines) + (bool(strip.legend) if is_wide else len(strip.legend)) + 0.3)
    whole = PANEL_INCHES + below
    with figure(width=PANEL_INCHES * len(panels), height=whole) as drawn:
        drawn.set_layout_engine("none")
        drawn.set_dpi(DOTS_PER_INCH)
        drawn.set_facecolor(BACKGROUND)
        for place, panel in enumerate(panels):
            axes = drawn.add_axes((place / len(panels), below / whole, (1 - GAP) / len(panels), PANEL_INCHES / whole))
            _draw(axes, panel)
        _draw_strip(drawn, strip, lines, below)
        canvas: Any = FigureCanvasAgg(drawn)  # matplotlib has no types for the two methods
        canvas.draw()
        # Not `savefig`, which adds an alpha channel and the name of the program.
        pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    return encoded.getvalue(), (pixels.shape[1], pixels.shape[0])


def _draw(axes: Axes, panel: Panel) -> None:
    width, height = panel.size
    extent = (0.0, width, height, 0.0)
    axes.imshow(grey(panel.picture, panel.window), extent=extent, interpolation="bilinear")
    for outline in panel.outlines:
        draw_contour(axes, outline.mask, colour=outline.colour, width=outline.width, extent=extent)
    (x, y), half = panel.centre, panel.field / 2
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y + half, y - half)
    axes.set_axis_off()
    if panel.cross is not None:
        draw_cross(axes, panel.cross)
    write(axes, panel.name, (MARGIN, 1 - MARGIN), NAME_POINTS, ha="left", va="top")
    draw_letters(axes, panel.letters)
    if panel.has_bar:
        draw_bar(axes)


def _draw_strip(drawn: Figure, strip: Strip, lines: Sequence[str], inches: float) -> None:
    """Write the legend and the lines below the panels, from the top."""
    width, height = drawn.get_size_inches()
    edge = MARGIN * PANEL_INCHES / width
    if strip.legend:
        drawn.legend(
            handles=legend_patches(strip.legend),
            loc="upper left",
            bbox_to_anchor=(0, inches / height),
            ncols=len(strip.legend) if len(lines) == 1 else 1,
            fontsize=NAME_POINTS,
            labelcolor=TEXT,
            frameon=False,
            borderpad=0.2,
            borderaxespad=0.2,
            handlelength=0.9,
            handleheight=0.9,
        )
    for place, line in enumerate(reversed(lines)):
        bottom = (place + 0.3) * LINE_INCHES / height
        drawn.text(edge, bottom, line, color=TEXT, fontsize=NAME_POINTS, ha="left", va="bottom")
