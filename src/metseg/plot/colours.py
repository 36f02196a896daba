"""The colours of every figure and overlay, distinguishable with every common kind of colour vision.

Okabe & Ito 2008, "Color Universal Design"; black, and the grey after it, stand apart from the seven hues.
"""

from __future__ import annotations

from collections.abc import Mapping

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

#: Class id to colour, on grey pictures.
CLASS_COLOURS: Mapping[int, Colour] = {
    1: ORANGE,
    2: SKY_BLUE,
    3: VERMILION,
    4: PURPLE,
    5: YELLOW,
    6: BLUE,
    7: GREEN,
}

#: Colours of successive lines on white, without yellow, which is hard to see.
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, GREY)


def class_colour(label: int) -> Colour:
    """Return the colour of a class id, 1 or more; colours repeat after the last one.

    >>> class_colour(1) == class_colour(8) == ORANGE
    True
    """
    return CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS) + 1]


def hexadecimal(colour: Colour) -> str:
    """Return a colour in hexadecimal notation, as in matplotlib and CSS.

    >>> hexadecimal(BLUE)
    '#0072B2'
    """
    return "#{:02X}{:02X}{:02X}".format(*colour)
