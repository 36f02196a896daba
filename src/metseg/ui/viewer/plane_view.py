"""Three planes of a volume, drawn on the server: for browsers without WebGL, or as an alternative."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from metseg.schemas import Study
from metseg.ui import browser_components, session_state
from metseg.ui.viewer import crosshair, plane_drawing
from metseg.ui.viewer.display_controls import Look
from metseg.ui.viewer.legend import LESION, SELECTED, class_layers
from metseg.ui.viewer.plane_drawing import Frame, Layer
from metseg.ui.viewer.scene import (
    PLANES,
    Point,
    Scene,
    cut,
    part_of,
    pixel_at,
    pixel_spacing,
    place_on_plane,
    stored_threshold,
    voxel_on_plane,
)

ZOOMS = {"1x": 1.0, "2x": 2.0, "4x": 4.0}


def show_planes(study: Study, scene: Scene, look: Look) -> None:
    """Show the planes through the crosshair, with a slider for each."""
    zoom = ZOOMS[_zoom_control(study)]
    view = View(crosshair.crosshair(study.id, scene), zoom, session_state.selected_lesion(study.id))
    # Shown above the sliders, but sent after them. Otherwise a wheel step over a new picture would send the old
    # position of the slider too, which would move the plane back.
    place = st.container()
    for column, name in zip(st.columns(3), PLANES, strict=True):
        with column:
            _slider(study, scene, name, view.point)
    with place:
        browser_components.pictures(
            [plane_picture(scene, look, name, view) for name in PLANES],
            key=f"planes-{study.id}",
            on_picked=lambda event: _picked(study, scene, event, zoom),
            on_turned=lambda event: _turned(study, scene, event),
        )
    st.caption("Click to move the crosshair; use the mouse wheel or the arrow keys to change slices.")


@dataclass(frozen=True)
class View:
    """Position and zoom of the view.

    Args:
        point: voxel at the crosshair.
        zoom: magnification.
        selected: number of the selected lesion.
    """

    point: Point
    zoom: float = 1.0
    selected: int | None = None


def plane_picture(scene: Scene, look: Look, name: str, view: View) -> browser_components.Shown:
    """Return one plane as a picture with lesions, crosshair and side markers."""
    plane = PLANES[name]
    index = view.point[plane.axis]
    values = cut(scene.image.data, plane, index)
    row, column = place_on_plane(scene.shape, plane, view.point)
    part = part_of(values.shape, (row, column), view.zoom)
    frame = Frame(
        spacing=pixel_spacing(scene.spacing_mm, plane),
        crosshair=(row - part[0].start, column - part[1].start),
        marks=plane.marks,
        has_bar=True,
    )
    layers = layers_of_plane(scene, look, name, index, view.selected)
    shown = [replace(layer, mask=layer.mask[part]) for layer in layers]
    drawn = plane_drawing.draw(plane_drawing.grey(values[part], look.window or scene.window), shown, look.style, frame)
    title = f"{plane.title} {index + 1} of {scene.shape[plane.axis]}"
    return browser_components.Shown(name, plane_drawing.data_url(drawn), title, f"{title}, with lesions drawn on it")


def picked_voxel(scene: Scene, name: str, share: tuple[float, float], view: View) -> Point:
    """Return the voxel at a relative position in the picture that `plane_picture` draws."""
    plane = PLANES[name]
    index = view.point[plane.axis]
    size = cut(scene.labels, plane, index).shape
    rows, columns = part_of(size, place_on_plane(scene.shape, plane, view.point), view.zoom)
    row, column = pixel_at((rows.stop - rows.start, columns.stop - columns.start), share)
    return voxel_on_plane(scene.shape, plane, index, (row + rows.start, column + columns.start))


def layers_of_plane(scene: Scene, look: Look, name: str, index: int, selected: int | None) -> list[Layer]:
    """Return the layers of a plane: the classes, or one layer at another threshold, and the selected lesion."""
    plane = PLANES[name]
    if look.threshold is None:
        layers = class_layers(cut(scene.labels, plane, index), look.scheme)
    else:
        layers = [Layer(cut(scene.probability, plane, index) >= stored_threshold(look.threshold), LESION.colour)]
    if selected is not None:
        layers.append(Layer(cut(scene.instances, plane, index) == selected, SELECTED.colour, is_halo=True))
    return [layer for layer in layers if layer.mask.any()]


def _slider(study: Study, scene: Scene, name: str, point: Point) -> None:
    plane, key = PLANES[name], crosshair.slider_key(study.id, name)
    size = scene.shape[plane.axis]
    if size == 1:
        return
    st.session_state[key] = point[plane.axis] + 1

    def moved() -> None:
        crosshair.move_plane(study.id, scene, name, int(st.session_state[key]) - 1)

    st.slider(plane.title, 1, size, key=key, on_change=moved)


def _zoom_control(study: Study) -> str:
    names = list(ZOOMS)
    chosen = st.segmented_control(
        "Zoom", names, default=names[0], required=True, key=f"zoom-{study.id}", label_visibility="collapsed"
    )
    return str(chosen or names[0])


def _picked(study: Study, scene: Scene, event: browser_components.Picked, zoom: float) -> None:
    if event.name in PLANES:
        view = View(crosshair.crosshair(study.id, scene), zoom)
        crosshair.pick(study.id, scene, picked_voxel(scene, event.name, event.share, view))


def _turned(study: Study, scene: Scene, event: browser_components.Turned) -> None:
    if event.name in PLANES:
        index = crosshair.crosshair(study.id, scene)[PLANES[event.name].axis]
        crosshair.move_plane(study.id, scene, event.name, index + event.steps)
