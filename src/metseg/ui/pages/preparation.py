"""Show what preprocessing did: the image before and after, and each step as a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from metseg.schemas import Study
from metseg.sequence_titles import sequence_title
from metseg.ui import page_settings, result_cache
from metseg.ui.api_client import Api
from metseg.ui.display_text import plain, with_sequence_names
from metseg.ui.viewer import crosshair, plane_drawing
from metseg.ui.viewer.charts import values_chart
from metseg.ui.viewer.nifti_bytes import Image, inverse, moved
from metseg.ui.viewer.plane_drawing import Frame
from metseg.ui.viewer.scene import PLANES, cut, pixel_spacing, window_of
from metseg.ui.viewer.slice_view import slice_index

_SIDE = 460


def show_preparation(api: Api, study: Study) -> None:
    """Show the image as read next to the network's input, and list the steps between."""
    if not result_cache.has(study, "prepared.nii.gz", "image.nii.gz"):
        st.info("The preprocessed images of this study were not stored.")
        return
    with st.spinner("Fetching the images …"):
        after = result_cache.prepared(api, study)
    before = _slice_pictures(api, study, after) if study.facts.slices else _volume_pictures(api, study, after)
    chart = values_chart({"Before": before, "After": after.data})
    st.plotly_chart(chart, key=f"values-{study.id}", config={"displayModeBar": False})
    _show_steps(api, study)


def _volume_pictures(api: Api, study: Study, after: Image) -> Any:
    """Show the selected axial plane before and after; return the values before."""
    scene, plane = result_cache.scene(api, study), PLANES["axial"]
    crosshair.start(study.id, scene)
    point = crosshair.crosshair(study.id, scene)
    index = same_slice(scene.image, after, point)
    name = sequence_title(study.facts.reference or "")
    left, right = st.columns(2, gap="medium")
    for column, image, place, title in (
        (left, scene.image, point[plane.axis], f"Before: {name} as read"),
        (right, after, index, "After: input of the network"),
    ):
        frame = Frame(pixel_spacing(image.spacing_mm, plane), marks=plane.marks, has_bar=True, side=_SIDE)
        grey = plane_drawing.grey(cut(image.data, plane, place), window_of(image.data))
        drawn: Any = plane_drawing.draw(grey, [], plane_drawing.Style(), frame)
        column.image(drawn, caption=title, width="stretch", alt=title)
    return scene.image.data


def same_slice(before: Image, after: Image, point: Sequence[int]) -> int:
    """Return the index of the axial slice of a preprocessed image at the height of a voxel of the original image.

    Preprocessing may crop and resample; for a voxel outside, this is the nearest slice.
    """
    there = moved(inverse(after.affine), moved(before.affine, point))
    return int(np.clip(np.rint(there[2]), 0, after.data.shape[2] - 1))


def _slice_pictures(api: Api, study: Study, after: Image) -> Any:
    """Show the selected slice before and after; return the values before.

    NIfTI files made from pictures have no orientation, so their axes keep the order of the file: x is the column.
    """
    index = slice_index(study)
    before = result_cache.slice_of(api, study, index).picture
    shown = after.data[:, :, min(index, after.data.shape[2] - 1)].T
    left, right = st.columns(2, gap="medium")
    pictures = (
        (left, before, f"Before: slice {index + 1} as read"),
        (right, plane_drawing.grey(shown, window_of(shown)), "After: input of the network (one sequence)"),
    )
    for column, picture, title in pictures:
        drawn: Any = plane_drawing.draw(picture, [], plane_drawing.Style(), Frame(side=_SIDE))
        column.image(drawn, caption=title, width="stretch", alt=title)
    return before


def _show_steps(api: Api, study: Study) -> None:
    records = steps_of(result_cache.document(api, study)) if result_cache.has(study, "lesions.json") else []
    st.subheader("Preprocessing steps")
    for sentence in page_settings.current().describe(records):
        st.markdown(f"- {plain(sentence)}")
    if not records:
        st.caption("The images were used unchanged.")
    noticed = [with_sequence_names(warning.text) for warning in study.warnings]
    if noticed:
        st.subheader("Warnings")
        for text in noticed:
            st.markdown(f"- {plain(text)}")


def steps_of(document: bytes) -> list[Mapping[str, Any]]:
    """Return the records of preprocessing from ``lesions.json``; an empty list if there are none.

    >>> steps_of(b'{"technique": {"preprocess": [{"step": "zscore"}]}}'), steps_of(b"{}")
    ([{'step': 'zscore'}], [])
    """
    try:
        technique = json.loads(document).get("technique") or {}
        return [record for record in technique.get("preprocess", []) if isinstance(record, dict)]
    except (ValueError, AttributeError):
        return []
