"""Colours and scale bar of every figure, overlay, report and page.

The colours are distinguishable with every common kind of colour vision.

Okabe & Ito 2008, "Color Universal Design"; black, and the grey after it, stand apart from the seven hues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Red, green, blue, 0 to 255.
Colour = tuple[int, int, int]

ORANGE: Colour = (230, 159, 0)
SKY_BLUE: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
PURPLE: Colour = (204, 121, 167)
BLACK: Colour = (0, 0, 0)
GREY: Colour = (153, 153, 153)

TRUTH_COLOUR = GREEN
PREDICTION_COLOUR = ORANGE

#: Outline of the brain mask.
BRAIN_COLOUR = GREEN
#: Outline of the selected lesion; no class has it.
SELECTED_COLOUR: Colour = (255, 255, 255)

#: Colours of classes that are no known tissue, on grey pictures.
OTHER_COLOURS = (ORANGE, SKY_BLUE, VERMILION, PURPLE, YELLOW, BLUE, GREEN)

#: Colours of successive lines on white, without yellow, which is hard to see.
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, GREY)

#: A scale bar is the longest of these lengths up to this share of the panel's field of view.
BAR_LENGTHS_MM = (1, 2, 5, 10, 20, 50, 100)
BAR_SHARE = 0.35

#: Colours in words, for readers of a text.
COLOUR_NAMES: Mapping[Colour, str] = {
    ORANGE: "orange",
    SKY_BLUE: "light blue",
    VERMILION: "orange-red",
    PURPLE: "purple",
    YELLOW: "yellow",
    BLUE: "dark blue",
    GREEN: "green",
}


@dataclass(frozen=True)
class ClassStyle:
    """How a class of lesion is shown.

    Args:
        title: its name in words, for legends.
        colour: of its outline and its fill.
    """

    title: str
    colour: Colour


#: Class id to its style; the styles of a label scheme are in `metseg.class_styles`.
Styles = Mapping[int, ClassStyle]


def class_colour(label: int, styles: Styles | None = None) -> Colour:
    """Return the colour of a class id, 1 or more.

    Args:
        label: class id.
        styles: of the label scheme. Ids that it lacks have `OTHER_COLOURS`, which repeat after the last one.

    >>> class_colour(1) == class_colour(8) == ORANGE
    True
    """
    if styles and label in styles:
        return styles[label].colour
    return OTHER_COLOURS[(label - 1) % len(OTHER_COLOURS)]


def hexadecimal(colour: Colour) -> str:
    """Return a colour in hexadecimal notation, as in matplotlib and CSS.

    >>> hexadecimal(BLUE)
    '#0072B2'
    """
    return "#{:02X}{:02X}{:02X}".format(*colour)


def bar_length(field_mm: float) -> int:
    """Return the length of the scale bar for a panel with a field of view in millimetres.

    >>> bar_length(200), bar_length(40), bar_length(1)
    (50, 10, 1)
    """
    return max([length for length in BAR_LENGTHS_MM if length <= BAR_SHARE * field_mm], default=BAR_LENGTHS_MM[0])
