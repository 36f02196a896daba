"""The legend of the colours in a viewer, and which classes have which colour there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import streamlit as st

from metseg.class_styles import TISSUE_STYLES, class_styles
from metseg.picture_style import SELECTED_COLOUR, ClassStyle, Colour, class_colour, hexadecimal
from metseg.schemas import Study
from metseg.ui.viewer.plane_drawing import Layer

#: How a mask without classes is shown: that of another threshold.
LESION = TISSUE_STYLES["lesion"]
SELECTED = ClassStyle("selected lesion", SELECTED_COLOUR)
#: Value of lesion in pictures of masks with one class.
ONE_CLASS_VALUE = 255


def study_legend(study: Study, *, threshold: float | None, is_selected: bool) -> list[ClassStyle]:
    """Return the legend of a study in a viewer.

    Args:
        study: a study that is done.
        threshold: of a preview, which has no classes; None: the result.
        is_selected: whether a lesion is selected.
    """
    classes = list(class_styles(study.facts.scheme).values()) if threshold is None else [LESION]
    return [*(classes or [LESION]), *([SELECTED] if is_selected else [])]


def class_layers(labels: npt.NDArray[np.generic], scheme: str | None) -> list[Layer]:
    """Return a layer for each class in a plane.

    Args:
        labels: (rows, columns) class ids; 255 is the one class of a mask that has no others.
        scheme: label scheme of the model; None: not known.
    """
    values = [int(value) for value in np.unique(labels) if value]
    return [Layer(np.asarray(labels == value), class_id_colour(value, scheme)) for value in values]


def class_id_colour(value: int, scheme: str | None) -> Colour:
    """Return the colour of a value of a mask; see `class_layers`."""
    return class_colour(1 if value == ONE_CLASS_VALUE else value, class_styles(scheme))


def show_legend(entries: Sequence[ClassStyle]) -> None:
    """Show a coloured square with its title for each entry."""
    st.markdown(legend_html(entries), unsafe_allow_html=True)


def legend_html(entries: Sequence[ClassStyle]) -> str:
    """Return a legend as HTML; the squares have an edge, for white would not be seen on a light page.

    >>> legend_html([ClassStyle("oedema", (240, 228, 66))]).count("#F0E442")
    1
    """
    square = "display:inline-block;width:.8em;height:.8em;border:1px solid #808080;margin-right:.35em"
    return "&emsp;".join(
        f'<span style="{square};background:{hexadecimal(entry.colour)}"></span>{entry.title}' for entry in entries
    )
