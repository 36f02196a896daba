"""Marks on images in figures: orientation letters, scale bar, cross, and the legend of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metseg.disclaimer import NOTICE
from metseg.picture_style import ClassStyle, bar_length, hexadecimal
from metseg.plot.images.overlay import HEAT_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Black like the air in the images, so that the edge of the picture is not visible.
BACKGROUND, TEXT = "#000000", "#ffffff"

#: Gap between the cross and its point, as a share of the panel, so that the point stays visible.
CROSS_GAP = 0.12
#: Margin of text, as a share of the panel.
MARGIN = 0.035
LETTER_POINTS, NAME_POINTS, BAR_POINTS = 7.5, 6.5, 8
#: Titles of panels; provenance and legend of a figure.
TITLE_POINTS, CAPTION_POINTS = 9, 8

#: Position and alignment of the letters at the left, right, top and bottom.
_LETTER_PLACES = (
    (MARGIN, 0.5, "left", "center"),
    (1 - MARGIN, 0.5, "right", "center"),
    (0.5, 1 - MARGIN, "center", "top"),
    (0.5, MARGIN, "center", "bottom"),
)


def provenance_of(case: str) -> str:
    """Return the line that every picture of a case carries.

    >>> provenance_of("P01")
    'P01 · Research use only: not a medical device.'
    """
    return " · ".join(filter(None, (case, NOTICE)))


def draw_head(drawn: Figure, case: str) -> None:
    """Make a figure dark, and write the line of `provenance_of` on top."""
    drawn.set_facecolor(BACKGROUND)
    drawn.suptitle(provenance_of(case), x=0.01, ha="left", fontsize=CAPTION_POINTS, color=TEXT, weight="normal")


def draw_legend(drawn: Figure, legend: Sequence[ClassStyle]) -> None:
    """Draw the colours and titles of classes below a figure; nothing without classes."""
    if legend:
        drawn.legend(
            handles=legend_patches(legend),
            loc="outside lower left",
            ncols=len(legend),
            fontsize=CAPTION_POINTS,
            labelcolor=TEXT,
            frameon=False,
        )


def draw_bar(axes: Axes) -> None:
    """Draw a scale bar in the lower right corner of axes in millimetres."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    field = abs(right - left)
    length = bar_length(field)
    end, height = right - field * MARGIN, bottom + (top - bottom) * MARGIN
    axes.plot(
        [end - length, end],
        [height, height],
        color=TEXT,
        linewidth=1.4,
        solid_capstyle="butt",
        scalex=False,
        scaley=False,
        path_effects=_dark_edge(),
    )
    middle = 1 - MARGIN - length / field / 2
    write(axes, f"{length} mm", (middle, 1.6 * MARGIN), NAME_POINTS, ha="center", va="bottom")


def draw_letters(axes: Axes, letters: str) -> None:
    """Write letters at the left, right, top and bottom of axes; nothing for an empty string."""
    for letter, place in zip(letters, _LETTER_PLACES, strict=False):
        write(axes, letter, place[:2], LETTER_POINTS, ha=place[2], va=place[3], weight="bold")


def draw_cross(axes: Axes, point: tuple[float, float]) -> None:
    """Draw lines from the four edges of axes towards a point, which stays free."""
    line: dict[str, Any] = {"color": TEXT, "linewidth": 0.5, "alpha": 0.5, "scalex": False, "scaley": False}
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    field = max(abs(right - left), abs(top - bottom))
    gap, reach = CROSS_GAP * field, 2 * field
    x, y = point
    for sign in (-1, 1):
        axes.plot([x + sign * gap, x + sign * reach], [y, y], **line)
        axes.plot([x, x], [y + sign * gap, y + sign * reach], **line)


def write(axes: Axes, text: str, place: tuple[float, float], points: float, **options: Any) -> None:
    """Write a text that is readable on dark and bright tissue.

    Args:
        axes: of the image.
        text: to write.
        place: right and up, as shares of the axes.
        points: size.
        options: of the text.
    """
    axes.text(*place, text, color=TEXT, fontsize=points, transform=axes.transAxes, path_effects=_dark_edge(), **options)


def legend_patches(legend: Sequence[ClassStyle]) -> list[Any]:
    """Return a coloured square with its title for each class, as ``legend(handles=...)`` takes them."""
    from matplotlib.patches import Patch

    return [Patch(facecolor=hexadecimal(entry.colour), label=entry.title) for entry in legend]


def draw_heat_bar(drawn: Figure, axes: Any, title: str) -> None:
    """Draw the colour bar of a heat map, 0 to 1, beside axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = drawn.colorbar(ScalarMappable(Normalize(0, 1), HEAT_COLOURS), ax=axes, fraction=0.03, pad=0.01)
    bar.set_label(title, color=TEXT, fontsize=BAR_POINTS)
    bar.ax.tick_params(colors=TEXT, labelsize=BAR_POINTS)


def _dark_edge() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.6, foreground=BACKGROUND)]
