"""Crosshair of a volume, moved by the viewer and the lesion table."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from metseg.ui import session_state
from metseg.ui.viewer.scene import Point, Scene


def place_key(study_id: str) -> str:
    """Return the session key of the crosshair."""
    return f"place-{study_id}"


def table_key(study_id: str) -> str:
    """Return the session key of the lesion table."""
    return f"table-{study_id}"


def start(study_id: str, scene: Scene) -> None:
    """Set the first position of the crosshair: the largest lesion, else the middle of the volume."""
    if place_key(study_id) in st.session_state:
        return
    centre = scene.inside(scene.places[scene.lesions[0].id]) if scene.lesions else None
    look_at(study_id, centre or scene.middle())


def crosshair(study_id: str, scene: Scene) -> Point:
    """Return the voxel at the crosshair."""
    found = st.session_state.get(place_key(study_id), scene.middle())
    x, y, z = (min(max(int(value), 0), size - 1) for value, size in zip(found, scene.shape, strict=True))
    return x, y, z


def look_at(study_id: str, point: Point) -> None:
    """Move the crosshair to a voxel."""
    st.session_state[place_key(study_id)] = point


def jump_to_lesion(study_id: str, scene: Scene, number: int) -> None:
    """Move the crosshair to the typical voxel of a lesion."""
    centre = scene.inside(scene.places[number])
    if centre is not None:
        look_at(study_id, centre)


def pick(study_id: str, scene: Scene, point: Point) -> None:
    """Move the crosshair to a voxel and select the lesion there, if any. Call before the table is drawn."""
    look_at(study_id, point)
    number = scene.lesion_at(point)
    if number is not None and number != session_state.selected_lesion(study_id):
        select(study_id, number, [lesion.id for lesion in scene.lesions])


def select(study_id: str, number: int | None, numbers: Sequence[int]) -> None:
    """Select a lesion, also in the table; call before the table is drawn.

    Args:
        study_id: id of the study.
        number: number of the lesion; None clears the selection.
        numbers: lesion numbers of the table's rows, in order.
    """
    session_state.select_lesion(study_id, number)
    rows = [numbers.index(number)] if number in numbers else []
    st.session_state[table_key(study_id)] = {"selection": {"rows": rows, "columns": [], "cells": []}}
