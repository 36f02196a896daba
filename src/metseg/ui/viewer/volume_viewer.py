"""Viewer of volumes with its display controls and the lesion table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import streamlit as st

from metseg.schemas import Study
from metseg.ui import browser_components, error_display, result_cache, session_state, theme
from metseg.ui.api_client import Api
from metseg.ui.viewer import crosshair
from metseg.ui.viewer.charts import threshold_chart
from metseg.ui.viewer.components import lesion_burden
from metseg.ui.viewer.display_controls import (
    Look,
    own_threshold,
    style_control,
    threshold_control,
    threshold_words,
    window_control,
)
from metseg.ui.viewer.legend import show_legend, study_legend
from metseg.ui.viewer.lesion_table import show_table
from metseg.ui.viewer.niivue_view import show_niivue
from metseg.ui.viewer.plane_view import show_planes
from metseg.ui.viewer.scene import Scene

INTERACTIVE, PLAIN = "Interactive 3D", "Planes"
_VIEWERS: Final[Mapping[str, Callable[[Study, Scene, Look], None]]] = {INTERACTIVE: show_niivue, PLAIN: show_planes}


@st.fragment
def show_volume(api: Api, study: Study) -> None:
    """Show a volume next to the lesion table; a fragment, so changes do not redraw the page."""
    with error_display.told():
        _draw(api, study)


def _draw(api: Api, study: Study) -> None:
    with st.spinner("Fetching the images …"):
        scene = result_cache.scene(api, study)
    crosshair.start(study.id, scene)
    left, right = st.container(key=theme.BESIDE).columns([1.5, 1], gap="medium")
    with right:
        table = st.container()
        look = _controls(study, scene)
    with left:
        _VIEWERS[_choose_viewer(study)](study, scene, look)
        selected = session_state.selected_lesion(study.id) is not None
        show_legend(study_legend(study, threshold=look.threshold, is_selected=selected))
    with table:
        show_table(study, lambda number: _go_to(study, scene, number))


def _controls(study: Study, scene: Scene) -> Look:
    style = style_control(study)
    threshold = threshold_control(study)
    preview = None if threshold is None else lesion_burden(scene.mask(threshold), scene.voxel_ml)
    st.caption(threshold_words(study, threshold, preview))
    with st.expander("Grey values and effect of the threshold"):
        window = window_control(study, scene.extremes, scene.window)
        curve = threshold_chart(scene.probability, threshold or own_threshold(study), scene.voxel_ml)
        st.plotly_chart(curve, key=f"curve-{study.id}", config={"displayModeBar": False})
    return Look(style, threshold, window, study.facts.scheme)


def _choose_viewer(study: Study) -> str:
    """Show the choice of viewers; without WebGL there is only one."""
    if browser_components.has_webgl() is False:
        st.caption("This browser does not support WebGL, so the server draws the planes. You can still click them.")
        return PLAIN
    chosen = st.segmented_control(
        "Viewer",
        list(_VIEWERS),
        default=INTERACTIVE,
        required=True,
        key=f"viewer-{study.id}",
        label_visibility="collapsed",
    )
    return str(chosen or INTERACTIVE)


def _go_to(study: Study, scene: Scene, number: int) -> None:
    crosshair.jump_to_lesion(study.id, scene, number)
    st.session_state[crosshair.around_key(study.id)] = True
