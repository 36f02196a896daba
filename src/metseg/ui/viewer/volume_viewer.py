"""Viewer of volumes with the threshold and the lesion table."""

from __future__ import annotations

import streamlit as st

from metseg.schemas import Study
from metseg.ui import error_display, result_cache, theme
from metseg.ui.api_client import Api
from metseg.ui.viewer import crosshair
from metseg.ui.viewer.browser_viewer import show_viewer
from metseg.ui.viewer.charts import threshold_chart
from metseg.ui.viewer.components import lesion_burden
from metseg.ui.viewer.display_controls import own_threshold, threshold_control, threshold_words
from metseg.ui.viewer.lesion_table import show_table, table_width
from metseg.ui.viewer.scene import Scene

#: Width in pixels of viewer and table together in a window of 1280 pixels, and the smallest of the table.
_TOGETHER, _LEAST_TABLE = 917, 333


def column_shares(study: Study) -> list[int]:
    """Return the relative widths of viewer and table: the whole table is seen in a window of 1280 pixels."""
    table = max(table_width(study), _LEAST_TABLE)
    return [_TOGETHER - table, table]


@st.fragment
def show_volume(api: Api, study: Study) -> None:
    """Show a volume next to the lesion table; a fragment, so changes do not redraw the page."""
    with error_display.told():
        _draw(api, study)


def _draw(api: Api, study: Study) -> None:
    with st.spinner("Fetching the images …"):
        scene = result_cache.scene(api, study)
    crosshair.start(study.id, scene)
    left, right = st.container(key=theme.BESIDE).columns(column_shares(study), gap="medium")
    with right:
        table = st.container()
        threshold = _threshold(study, scene)
    with left.container(key=theme.VIEWER):
        show_viewer(api, study, scene, threshold)
    with table:
        show_table(study, lambda number: crosshair.jump_to_lesion(study.id, scene, number))


def _threshold(study: Study, scene: Scene) -> float | None:
    threshold = threshold_control(study)
    preview = None if threshold is None else lesion_burden(scene.mask(threshold), scene.voxel_ml)
    st.caption(threshold_words(study, threshold, preview))
    with st.expander("Effect of the threshold"):
        curve = threshold_chart(scene.probability, threshold or own_threshold(study), scene.voxel_ml)
        st.plotly_chart(curve, key=f"curve-{study.id}", config={"displayModeBar": False})
    return threshold
