"""Controls for the display of images and lesions: contour or fill, opacity, threshold."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from metseg.schemas import Study
from metseg.ui.viewer.components import Burden
from metseg.ui.viewer.heat_map import MapKind, maps_of
from metseg.ui.viewer.plane_drawing import Style

CONTOUR, FILL = "Contour", "Fill"
_NO_MAP = "None"
#: Tolerance within which a threshold counts as the model's threshold.
_SAME: float = 0.0051


@dataclass(frozen=True)
class Look:
    """Display settings.

    Args:
        style: style of lesions.
        threshold: probability threshold; None: the result of the service.
        scheme: label scheme of the model, for the colours of classes; None: not known.
    """

    style: Style
    threshold: float | None = None
    scheme: str | None = None


def style_control(study: Study) -> Style:
    """Show the controls for the style of lesions, and return it."""
    left, right = st.columns([1, 1], vertical_alignment="bottom")
    drawn = left.segmented_control(
        "Lesions as", [CONTOUR, FILL], default=CONTOUR, required=True, key=f"style-{study.id}"
    )
    opacity = right.slider("Opacity", 0.0, 1.0, 0.7, 0.05, key=f"opacity-{study.id}")
    return Style(drawn != FILL, opacity)


def map_control(study: Study) -> MapKind | None:
    """Show the choice of a map over the picture if the study has any, and return it; None: no map."""
    kinds = {kind.title: kind for kind in maps_of(study)}
    if not kinds:
        return None
    chosen = st.segmented_control("Map", [_NO_MAP, *kinds], default=_NO_MAP, required=True, key=f"map-{study.id}")
    return kinds.get(str(chosen))


def threshold_control(study: Study) -> float | None:
    """Show the slider for the probability threshold, and return it; None: the model's threshold."""
    own = own_threshold(study)
    chosen = st.slider(
        "Probability threshold",
        0.01,
        0.99,
        own,
        0.01,
        key=f"threshold-{study.id}",
        help="A lower threshold shows more lesions and more false positives. It changes only this preview; the table, "
        "the report and the files keep the threshold of the model.",
    )
    return None if abs(chosen - own) < _SAME else float(chosen)


def own_threshold(study: Study) -> float:
    """Return the model's threshold, rounded to the steps of the slider."""
    return min(max(round(study.facts.threshold or 0.5, 2), 0.01), 0.99)


def threshold_words(study: Study, threshold: float | None, burden: Burden | None) -> str:
    """Return number and volume of lesions at a threshold, as a sentence.

    Args:
        study: a study that is done.
        threshold: chosen threshold; None: the model's.
        burden: burden of the mask at this threshold; None at the model's threshold.
    """
    if threshold is None or burden is None:
        return f"Shown at the model's threshold, {own_threshold(study):.2f}."
    places = "finding" if burden.lesions == 1 else "findings"
    size = f"{burden.elements} pixels" if burden.volume_ml is None else f"{burden.volume_ml:.2f} mL"
    return (
        f"Preview at {threshold:.2f}: {burden.lesions} {places}, {size}. "
        f"Table, report and files keep the model's threshold, {own_threshold(study):.2f}."
    )
