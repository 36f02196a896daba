"""Viewer of studies made of pictures: one slice with its lesions next to the lesion table."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from metseg.schemas import Study
from metseg.ui import browser_components, error_display, result_cache, session_state, theme
from metseg.ui.api_client import Api
from metseg.ui.viewer import crosshair, plane_drawing, slice_images
from metseg.ui.viewer.components import lesion_burden
from metseg.ui.viewer.display_controls import Look, map_control, style_control, threshold_control, threshold_words
from metseg.ui.viewer.heat_map import draw_map, map_legend_html
from metseg.ui.viewer.legend import LESION, SELECTED, class_layers, show_legend, study_legend
from metseg.ui.viewer.lesion_table import show_table
from metseg.ui.viewer.plane_drawing import Frame, Layer
from metseg.ui.viewer.scene import pixel_at
from metseg.ui.viewer.slice_images import Slice

AS_IT_IS, WITH_LESIONS, BESIDE = "Picture", "With lesions", "Side by side"


@st.fragment
def show_slices(api: Api, study: Study) -> None:
    """Show the selected slice next to the lesion table; a fragment, so changes do not redraw the page."""
    with error_display.told():
        _draw(api, study)


def _draw(api: Api, study: Study) -> None:
    left, right = st.container(key=theme.BESIDE).columns([1.6, 1], gap="medium")
    with left:
        index, shown = _choose(study)
        picture = result_cache.slice_of(api, study, index)
    with right:
        table = st.container()
        chosen_map = map_control(study)
        style, threshold = style_control(study), threshold_control(study)
        preview = None if threshold is None else lesion_burden(picture.mask(threshold), None)
        st.caption(threshold_words(study, threshold, preview))
    with left:
        if chosen_map is not None:
            drawn = draw_map(picture.picture, result_cache.slice_map(api, study, chosen_map, index), chosen_map)
            picture = replace(picture, picture=drawn)
        _show(study, picture, shown, Look(style, threshold, scheme=study.facts.scheme))
        if chosen_map is not None:
            st.markdown(map_legend_html(chosen_map), unsafe_allow_html=True)
    with table:
        show_table(study, lambda number: _go_to(study, number))


def slice_index(study: Study) -> int:
    """Return the index of the selected slice, from 0."""
    found = st.session_state.get(_place_key(study.id))
    index = found if isinstance(found, int) else slice_images.first_slice(study)
    return min(max(index, 0), max(study.facts.slices - 1, 0))


def slice_picture(picture: Slice, selected: int | None, look: Look) -> str:
    """Return a slice with its lesions as a data URL."""
    layers = layers_of_slice(picture, look, selected)
    return plane_drawing.data_url(
        plane_drawing.draw(picture.picture, layers, look.style, Frame(side=plane_drawing.SIDE + 80))
    )


def layers_of_slice(picture: Slice, look: Look, selected: int | None) -> list[Layer]:
    """Return the layers of a slice: the classes, or one layer at another threshold, and the selected lesion."""
    if look.threshold is None:
        layers = class_layers(picture.labels, look.scheme)
    else:
        layers = [Layer(picture.mask(look.threshold), LESION.colour)]
    if selected is not None:
        layers.append(Layer(picture.instances == selected, SELECTED.colour, is_halo=True))
    return [layer for layer in layers if layer.mask.any()]


def _choose(study: Study) -> tuple[int, str]:
    """Show the controls for slice and view side by side, to save height above the picture."""
    if study.facts.slices < 2:
        return slice_index(study), _choose_view(study)
    left, right = st.columns([1, 1.2], gap="medium", vertical_alignment="bottom")
    with left:
        index = _choose_slice(study)
    with right:
        return index, _choose_view(study)


def _choose_slice(study: Study) -> int:
    index, key = slice_index(study), f"slice-{study.id}"
    st.session_state[key] = index + 1

    def moved() -> None:
        st.session_state[_place_key(study.id)] = int(st.session_state[key]) - 1

    st.slider("Slice", 1, study.facts.slices, key=key, on_change=moved)
    return index


def _choose_view(study: Study) -> str:
    choices = [WITH_LESIONS, AS_IT_IS, BESIDE]
    chosen = st.segmented_control(
        "Show", choices, default=WITH_LESIONS, required=True, key=f"shown-{study.id}", label_visibility="collapsed"
    )
    return str(chosen or WITH_LESIONS)


def _show(study: Study, picture: Slice, shown: str, look: Look) -> None:
    number = slice_index(study) + 1
    bare = plane_drawing.data_url(
        plane_drawing.draw(picture.picture, [], look.style, Frame(side=plane_drawing.SIDE + 80))
    )
    selected = session_state.selected_lesion(study.id)
    drawn = slice_picture(picture, selected, look)
    ways = {
        AS_IT_IS: browser_components.Shown("bare", bare, f"Slice {number}", f"Slice {number}"),
        WITH_LESIONS: browser_components.Shown(
            "drawn", drawn, f"Slice {number}", f"Slice {number}, with lesions drawn on it"
        ),
    }
    browser_components.pictures(
        list(ways.values()) if shown == BESIDE else [ways[shown]],
        key=f"picture-{study.id}",
        on_picked=lambda event: _picked(study, picture, event),
        on_turned=(lambda event: _turned(study, event)) if study.facts.slices > 1 else None,
    )
    show_legend(study_legend(study, threshold=look.threshold, is_selected=selected is not None))
    wheel = " Use the mouse wheel to change slices." if study.facts.slices > 1 else ""
    st.caption(f"Click a lesion to select it in the table.{wheel}")


def _picked(study: Study, picture: Slice, event: browser_components.Picked) -> None:
    number = picture.lesion_at(*pixel_at(picture.shape, event.share))
    if number is not None:
        crosshair.select(study.id, number, [lesion.id for lesion in study.lesions])


def _turned(study: Study, event: browser_components.Turned) -> None:
    index = slice_index(study) + event.steps
    st.session_state[_place_key(study.id)] = min(max(index, 0), study.facts.slices - 1)


def _go_to(study: Study, number: int) -> None:
    found = next((lesion.slice_index for lesion in study.lesions if lesion.id == number), None)
    if found is not None:
        st.session_state[_place_key(study.id)] = found


def _place_key(study_id: str) -> str:
    return f"place-{study_id}"
