"""NiiVue viewer: linked planes and a 3D rendering with lesions; clicks select lesions in the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from streamlit.errors import StreamlitAPIException

from metseg.schemas import Study
from metseg.ui import result_cache, session_state
from metseg.ui.viewer import crosshair, niivue_data, niivue_frontend
from metseg.ui.viewer.display_controls import Look
from metseg.ui.viewer.niivue_data import Box
from metseg.ui.viewer.scene import Point, Scene

#: Height in pixels; the viewer then fits on a screen of 1280 x 800.
_HEIGHT = 490
#: A click within this distance in mm, or one voxel, of the start is ignored. The viewer reports its start position like
#: a click, and with an even number of slices its middle lies between two of them.
_NEAR_MM = 1.5
_SETTINGS = {"radiological": True, "colorbar": False, "interpolation": True}


def show_niivue(study: Study, scene: Scene, look: Look) -> None:
    """Show the viewer and handle the user's clicks in it."""
    left, right = st.columns([1.8, 1], vertical_alignment="center")
    with left:
        view = _view_control(study)
    number = session_state.selected_lesion(study.id)
    around = right.toggle("Around the lesion", key=crosshair.around_key(study.id), disabled=number is None)
    box = box_of(scene, number) if around else None
    window = look.window or scene.window
    event = niivue_frontend.viewer()(
        nifti_data=result_cache.viewer_image(
            study.id, result_cache.checksum(study, "image.nii.gz"), window, box, scene
        ),
        filename="image.nii.gz",
        overlays=overlays_of(scene, look, number, box),
        height=_HEIGHT,
        view_mode=niivue_data.VIEWS[view],
        styled=True,
        # The crosshair is a voxel wide and would cover a small lesion, which is at the centre anyway.
        settings={**_SETTINGS, "crosshair": box is None},
        update_interval_ms=niivue_data.CLICK_EVERY_MS,
        # The component cannot change its image; a new key creates a new instance.
        key=f"niivue-{study.id}-{hash((box, window)) & 0xFFFFFFFF:08x}",
    )
    st.caption("Click to move the crosshair, turn the wheel to change slices, drag with the right button for contrast.")
    _follow_click(study, scene, event, box)


def overlays_of(scene: Scene, look: Look, number: int | None, box: Box | None) -> list[dict[str, object]]:
    """Return the overlay of the lesions. The list is never empty: for an empty list, the component would keep the last
    overlay."""
    labels = scene.labels if look.threshold is None else scene.mask(look.threshold).astype(np.uint8)
    selected = np.asarray(scene.instances == (number or -1))
    # A preview at another threshold has no classes.
    shown = look if look.threshold is None else replace(look, scheme=None)
    content = niivue_data.overlay_file(labels, selected, scene.image.affine, box, shown)
    return [niivue_data.overlay(content, opacity=look.style.opacity)]


def box_of(scene: Scene, number: int | None) -> Box | None:
    """Return the box around a lesion; None without a valid lesion."""
    if number is None or number not in scene.places:
        return None
    centre = scene.inside(scene.places[number])
    return None if centre is None else niivue_data.box_around(scene, centre)


def is_start(scene: Scene, point: Point, box: Box | None) -> bool:
    """Return whether a position is the start of the view, which the viewer reports like a click."""
    start = scene.middle() if box is None else box.centre
    away = [abs(a - b) * spacing for a, b, spacing in zip(point, start, scene.spacing_mm, strict=True)]
    return max(away) <= max(_NEAR_MM, *scene.spacing_mm)


def _view_control(study: Study) -> str:
    names = list(niivue_data.VIEWS)
    chosen = st.segmented_control(
        "View", names, default=names[0], required=True, key=f"view-{study.id}", label_visibility="collapsed"
    )
    return str(chosen or names[0])


def _follow_click(study: Study, scene: Scene, event: object, box: Box | None) -> None:
    """Move the crosshair to the click, and select the lesion there."""
    place, key = niivue_data.clicked_mm(event), f"_clicked-{study.id}"
    if place is None or st.session_state.get(key) == place:
        return
    st.session_state[key] = place
    point, before = scene.voxel_at_mm(place), session_state.selected_lesion(study.id)
    if point is None or is_start(scene, point, box):
        return
    crosshair.pick(study.id, scene, point)
    if session_state.selected_lesion(study.id) != before:
        _draw_again()


def _draw_again() -> None:
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:  # the whole page is being drawn, not only this fragment
        st.rerun()
