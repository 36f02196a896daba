"""Square panels side by side on black, with a slice, outlines, a scale bar and orientation letters."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from metseg.plot.colours import Colour
from metseg.plot.contour import draw_contour
from metseg.plot.overlay import grey
from metseg.plot.planes import TEXT
from metseg.plot.style import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Black like the air in the images, so that the edge of the picture is not visible.
BACKGROUND = "#000000"

#: Side of a panel in print, and its resolution.
PANEL_INCHES, DOTS_PER_INCH = 1.72, 220
#: Black gap to the right of a panel, as a share of its width.
GAP = 0.015

#: A scale bar is the longest of these lengths up to this share of the panel's field of view.
BAR_LENGTHS_MM = (1, 2, 5, 10, 20, 50, 100)
BAR_SHARE = 0.35

#: Gap between the cross and its point, as a share of the panel, so that the point stays visible.
CROSS_GAP = 0.12
#: Margin of text, as a share of the panel.
MARGIN = 0.035
LETTER_POINTS, NAME_POINTS = 7.5, 6.5


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


def draw_row(panels: Sequence[Panel]) -> tuple[bytes, tuple[int, int]]:
    """Draw panels side by side; return the encoded PNG, and its columns and rows.

    Args:
        panels: at least one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with figure(width=PANEL_INCHES * len(panels), height=PANEL_INCHES) as drawn:
        drawn.set_layout_engine("none")
        drawn.set_dpi(DOTS_PER_INCH)
        drawn.set_facecolor(BACKGROUND)
        for place, panel in enumerate(panels):
            axes = drawn.add_axes((place / len(panels), 0, (1 - GAP) / len(panels), 1))
            _draw(axes, panel)
        canvas: Any = FigureCanvasAgg(drawn)  # matplotlib has no types for the two methods
        canvas.draw()
        # Not `savefig`, which adds an alpha channel and the name of the program.
        pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    return encoded.getvalue(), (pixels.shape[1], pixels.shape[0])


def bar_length(field_mm: float) -> int:
    """Return the length of the scale bar for a panel with a field of view in millimetres.

    >>> bar_length(200), bar_length(40), bar_length(1)
    (50, 10, 1)
    """
    return max([length for length in BAR_LENGTHS_MM if length <= BAR_SHARE * field_mm], default=BAR_LENGTHS_MM[0])


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
        _draw_cross(axes, panel, panel.cross)
    _write(axes, panel.name, (MARGIN, 1 - MARGIN), NAME_POINTS, ha="left", va="top")
    for letter, place in zip(panel.letters, _LETTER_PLACES, strict=False):
        _write(axes, letter, place[:2], LETTER_POINTS, ha=place[2], va=place[3], weight="bold")
    if panel.has_bar:
        _draw_bar(axes, panel)


#: Position and alignment of the letters at the left, right, top and bottom.
_LETTER_PLACES = (
    (MARGIN, 0.5, "left", "center"),
    (1 - MARGIN, 0.5, "right", "center"),
    (0.5, 1 - MARGIN, "center", "top"),
    (0.5, MARGIN, "center", "bottom"),
)


def _draw_cross(axes: Axes, panel: Panel, point: tuple[float, float]) -> None:
    """Draw lines from the four edges of a panel towards a point."""
    line: dict[str, Any] = {"color": TEXT, "linewidth": 0.5, "alpha": 0.5}
    gap, reach = CROSS_GAP * panel.field, 2 * panel.field
    x, y = point
    for sign in (-1, 1):
        axes.plot([x + sign * gap, x + sign * reach], [y, y], scalex=False, scaley=False, **line)
        axes.plot([x, x], [y + sign * gap, y + sign * reach], scalex=False, scaley=False, **line)


def _draw_bar(axes: Axes, panel: Panel) -> None:
    length = bar_length(panel.field)
    right, bottom = panel.centre[0] + panel.field * (0.5 - MARGIN), panel.centre[1] + panel.field * (0.5 - MARGIN)
    axes.plot(
        [right - length, right],
        [bottom, bottom],
        color=TEXT,
        linewidth=1.4,
        solid_capstyle="butt",
        scalex=False,
        scaley=False,
        path_effects=_dark_edge(),
    )
    middle = 1 - MARGIN - length / panel.field / 2
    _write(axes, f"{length} mm", (middle, 1.6 * MARGIN), NAME_POINTS, ha="center", va="bottom")


def _write(axes: Axes, text: str, place: tuple[float, float], points: float, **options: Any) -> None:
    """Draw text that is readable on dark and bright tissue."""
    axes.text(*place, text, color=TEXT, fontsize=points, transform=axes.transAxes, path_effects=_dark_edge(), **options)


def _dark_edge() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.6, foreground=BACKGROUND)]
