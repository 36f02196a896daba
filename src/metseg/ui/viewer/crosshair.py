"""Where one looks in a volume: the crosshair, moved by sliders, by clicks, by the wheel, and by the lesion table."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from metseg.ui import session_state
from metseg.ui.viewer.scene import PLANES, Point, Scene


def place_key(study_id: str) -> str:
    """Return the name under which the voxel that is looked at is kept."""
    return f"place-{study_id}"


def slider_key(study_id: str, plane: str) -> str:
    """Return the name of the slider of a plane."""
    return f"{plane}-{study_id}"


def around_key(study_id: str) -> str:
    """Return the name of the switch between the whole head and the lesion alone."""
    return f"around-{study_id}"


def table_key(study_id: str) -> str:
    """Return the name of the lesion table."""
    return f"table-{study_id}"


def start(study_id: str, scene: Scene) -> None:
    """Put a new crosshair on the largest lesion; without a lesion, into the middle."""
    if place_key(study_id) in st.session_state:
        return
    centre = scene.inside(scene.centres[scene.lesions[0].id]) if scene.lesions else None
    look_at(study_id, centre or scene.middle())


def crosshair(study_id: str, scene: Scene) -> Point:
    """Return the voxel that is looked at."""
    found = st.session_state.get(place_key(study_id), scene.middle())
    x, y, z = (min(max(int(value), 0), size - 1) for value, size in zip(found, scene.shape, strict=True))
    return x, y, z


def look_at(study_id: str, point: Point) -> None:
    """Look at a voxel."""
    st.session_state[place_key(study_id)] = point


def jump_to_lesion(study_id: str, scene: Scene, number: int) -> None:
    """Look at the middle of a lesion."""
    centre = scene.inside(scene.centres[number])
    if centre is not None:
        look_at(study_id, centre)


def pick(study_id: str, scene: Scene, point: Point) -> None:
    """Look at a voxel; where there is a lesion, select it. To be called before the table is drawn."""
    look_at(study_id, point)
    number = scene.lesion_at(point)
    if number is not None and number != session_state.selected_lesion(study_id):
        select(study_id, number, [lesion.id for lesion in scene.lesions])


def select(study_id: str, number: int | None, numbers: Sequence[int]) -> None:
    """Select a lesion, in the table too; to be called before the table is drawn.

    Args:
        study_id: of which study.
        number: of the lesion; None: none is selected.
        numbers: of the rows of the table, in order.
    """
    session_state.select_lesion(study_id, number)
    rows = [numbers.index(number)] if number in numbers else []
    st.session_state[table_key(study_id)] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def move_plane(study_id: str, scene: Scene, plane: str, index: int) -> None:
    """Bring a plane to a slice, or as near as there is one."""
    axis = PLANES[plane].axis
    moved = list(crosshair(study_id, scene))
    moved[axis] = min(max(index, 0), scene.shape[axis] - 1)
    look_at(study_id, (moved[0], moved[1], moved[2]))
