"""The length of a scale bar, the same in figures, reports and on the page."""

from __future__ import annotations

from typing import Final

#: A scale bar is the longest of these lengths up to this share of the panel's field of view.
BAR_LENGTHS_MM: Final = (1, 2, 5, 10, 20, 50, 100)
BAR_SHARE: Final = 0.35


def bar_length(field_mm: float) -> int:
    """Return the length of the scale bar for a panel with a field of view in millimetres.

    >>> bar_length(200), bar_length(40), bar_length(1)
    (50, 10, 1)
    """
    return max([length for length in BAR_LENGTHS_MM if length <= BAR_SHARE * field_mm], default=BAR_LENGTHS_MM[0])
