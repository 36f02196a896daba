"""Take the results away: reports, masks, tables, and how to open them elsewhere."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import streamlit as st

from metseg.schemas import Artifact, Study
from metseg.ui import result_cache
from metseg.ui.api_client import Api
from metseg.ui.labels import size_words

#: Results in the order in which they are offered, and what they are. Those of single slices come as one zip file.
TITLES: Final[Mapping[str, str]] = {
    "report.pdf": "Report (PDF)",
    "report.html": "Report (web page)",
    "mask.nii.gz": "Mask (NIfTI)",
    "probability.nii.gz": "Probabilities (NIfTI)",
    "lesions.nii.gz": "Lesions by number (NIfTI)",
    "image.nii.gz": "Image, without names (NIfTI)",
    "lesions.csv": "Lesion table (CSV)",
    "lesions.json": "Lesion table, with how it came about (JSON)",
    "overlay.png": "Overview picture (PNG)",
    "brain_mask.nii.gz": "Brain mask (NIfTI)",
    "prepared.nii.gz": "What the network saw (NIfTI)",
}

ELSEWHERE: Final = """
**3D Slicer**: drop the image and the mask on its window; in the dialog, choose *Volume* for the image and
*Segmentation* for the mask, then look at both in *Segment Editor*.

**ITK-SNAP**: *File → Open Main Image* for the image, then *Segmentation → Open Segmentation* for the mask.

The mask lies on the grid of the image, voxel by voxel, so both fit without registration.
"""
ELSEWHERE_PICTURES: Final = """
Masks of pictures have the size of the pictures: 0 is background, 255 is lesion, or the number of its class where a
model tells several apart. Any image program opens them. The NIfTI files hold the slices as a stack without a size in
mm: **3D Slicer** and **ITK-SNAP** show it; lengths measured in it mean nothing.
"""


def show_downloads(api: Api, study: Study) -> None:
    """Draw a button for each result."""
    known = {artifact.name: artifact for artifact in study.artifacts}
    offered = [known[name] for name in TITLES if name in known]
    columns = st.columns(2, gap="medium")
    for place, artifact in enumerate(offered):
        with columns[place % 2]:
            _button(artifact, partial(api.artifact, study.id, artifact.name), study)
    slices = [artifact for artifact in study.artifacts if artifact.name not in TITLES]
    if slices:
        _slices_button(api, study, slices)
    st.subheader("Open them elsewhere")
    st.markdown(ELSEWHERE_PICTURES if study.facts.slices else ELSEWHERE)
    if study.expires_at is not None:
        st.caption(f"The service keeps this study until {study.expires_at:%d %B %Y}, then removes it for good.")


def _button(artifact: Artifact, fetch: Callable[[], bytes], study: Study) -> None:
    st.download_button(
        f"{TITLES[artifact.name]}, {size_words(artifact.bytes)}",
        data=fetch,
        file_name=file_name(study, artifact.name),
        mime=artifact.media_type,
        key=f"download-{study.id}-{artifact.name}",
        on_click="ignore",
        type="primary" if artifact.name == "report.pdf" else "secondary",
        icon=":material/download:",
        width="stretch",
    )


def _slices_button(api: Api, study: Study, slices: Sequence[Artifact]) -> None:
    st.download_button(
        f"Every slice: pictures, masks, probabilities (zip, {size_words(sum(item.bytes for item in slices))})",
        data=partial(zipped, api, study, [item.name for item in slices]),
        file_name=file_name(study, "slices.zip"),
        mime="application/zip",
        key=f"download-{study.id}-slices",
        on_click="ignore",
        icon=":material/folder_zip:",
        width="stretch",
    )


def file_name(study: Study, name: str) -> str:
    """Return what a result is called on the user's disk: by the study's id, for there is no other name.

    >>> file_name(Study.model_construct(id="3f2b8c0d9e4a47f1b6a5c4d3e2f10987"), "mask.nii.gz")
    'metseg-3f2b8c0d-mask.nii.gz'
    """
    return f"metseg-{study.id[:8]}-{name}"


def zipped(api: Api, study: Study, names: Sequence[str]) -> bytes:
    """Return results as one zip file; what is compressed already is not compressed again."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(name, api.artifact(study.id, name))
    return content.getvalue()


def show_report(api: Api, study: Study) -> None:
    """Draw the button for the report alone, at the head of the page."""
    artifact = result_cache.artifact_of(study, "report.pdf")
    if artifact is not None:
        st.download_button(
            "Report (PDF)",
            data=partial(api.artifact, study.id, artifact.name),
            file_name=file_name(study, artifact.name),
            mime=artifact.media_type,
            key=f"report-{study.id}",
            on_click="ignore",
            type="primary",
            icon=":material/download:",
        )
