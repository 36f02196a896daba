"""How images and lesions are shown: contour or fill, opacity, grey values, threshold."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from metseg.schemas import Study
from metseg.ui.viewer.components import Burden
from metseg.ui.viewer.plane_drawing import Style

CONTOUR, FILL = "Contour", "Fill"
#: As near to the model's own threshold, a threshold is that one.
_SAME: float = 0.0051


@dataclass(frozen=True)
class Look:
    """What was chosen.

    Args:
        style: of lesions.
        threshold: of the probability; None: what the service decided.
        window: the values drawn black and white, as stored; None: as they are best.
    """

    style: Style
    threshold: float | None = None
    window: tuple[float, float] | None = None


def style_control(study: Study) -> Style:
    """Ask how lesions are drawn."""
    left, right = st.columns([1, 1], vertical_alignment="bottom")
    drawn = left.segmented_control(
        "Lesions as", [CONTOUR, FILL], default=CONTOUR, required=True, key=f"style-{study.id}"
    )
    opacity = right.slider("Opacity", 0.0, 1.0, 0.7, 0.05, key=f"opacity-{study.id}")
    return Style(drawn != FILL, opacity)


def threshold_control(study: Study) -> float | None:
    """Ask from which probability on a voxel is lesion; None: where the model decides."""
    own = own_threshold(study)
    chosen = st.slider(
        "Probability threshold",
        0.01,
        0.99,
        own,
        0.01,
        key=f"threshold-{study.id}",
        help="A lower threshold shows more, and more that is no lesion. It changes what you see here; the table, the "
        "report and the files stay as the model decided.",
    )
    return None if abs(chosen - own) < _SAME else float(chosen)


def window_control(study: Study, extremes: tuple[float, float], window: tuple[float, float]) -> tuple[float, float]:
    """Ask which values are drawn black and which white.

    Args:
        study: whose image it is.
        extremes: the least and the largest value there is.
        window: to begin with.
    """
    step = max((extremes[1] - extremes[0]) / 500, 1e-6)
    low, high = st.slider(
        "Grey values (window)",
        float(extremes[0]),
        float(extremes[1]),
        (max(window[0], extremes[0]), min(window[1], extremes[1])),
        step,
        key=f"window-{study.id}",
    )
    return (float(low), float(high)) if high > low else (float(low), float(low) + step)


def own_threshold(study: Study) -> float:
    """Return the threshold at which the model decided, as the slider can show it."""
    return min(max(round(study.facts.threshold or 0.5, 2), 0.01), 0.99)


def threshold_words(study: Study, threshold: float | None, burden: Burden | None) -> str:
    """Return what is found at a threshold, in a sentence.

    Args:
        study: done.
        threshold: that was chosen; None: the model's own.
        burden: of the mask at it; None: at the model's own threshold, where the table says it.
    """
    if threshold is None or burden is None:
        return f"At the model's own threshold, {own_threshold(study):.2f}."
    places = "place" if burden.lesions == 1 else "places"
    size = f"{burden.elements} pixels" if burden.volume_ml is None else f"{burden.volume_ml:.2f} mL"
    return (
        f"Preview at {threshold:.2f}: {burden.lesions} {places}, {size}. "
        f"The model decides at {own_threshold(study):.2f}; table, report and files stay so."
    )
