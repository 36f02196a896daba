"""Download reports, masks and tables, and explain how to open them in other programs."""

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
from metseg.ui.display_text import size_words
from metseg.ui.pages.pacs_studies import show_send

#: Results in the order of the page, with their labels. Results of single slices are offered as one zip file.
TITLES: Final[Mapping[str, str]] = {
    "report.pdf": "Report (PDF)",
    "report.html": "Report (web page)",
    "mask.nii.gz": "Mask (NIfTI)",
    "probability.nii.gz": "Probabilities (NIfTI)",
    "lesions.nii.gz": "Lesions by number (NIfTI)",
    "findings.nii.gz": "All findings, rejected ones too (NIfTI)",
    "image.nii.gz": "Image, de-identified (NIfTI)",
    "lesions.csv": "Lesion table (CSV)",
    "lesions.json": "Lesion table, with processing details (JSON)",
    "overlay.png": "Overview picture (PNG)",
    "brain_mask.nii.gz": "Brain mask (NIfTI)",
    "prepared.nii.gz": "Preprocessed image (NIfTI)",
    "seg.dcm": "Lesions (DICOM segmentation)",
    "seg-classes.dcm": "Classes (DICOM segmentation)",
    "seg-probability.dcm": "Probabilities (DICOM segmentation)",
    "rtstruct.dcm": "Outlines for planning (DICOM structure set)",
    "sr.dcm": "Measurements (DICOM structured report)",
    "report.dcm": "Report (PDF in DICOM)",
}

#: Only for lists of studies.
_THUMBNAIL: Final = "thumbnail.png"

ELSEWHERE: Final = """
**3D Slicer**: drop the image and the mask on its window; in the dialog, choose *Volume* for the image and
*Segmentation* for the mask, then look at both in *Segment Editor*.

**ITK-SNAP**: *File → Open Main Image* for the image, then *Segmentation → Open Segmentation* for the mask.

The mask has the same voxel grid as the image, so both match without registration.
"""
ELSEWHERE_PICTURES: Final = """
Masks of pictures have the size of the pictures. 0 is background; 255 is lesion, or the number of its class if the
model has several classes. Any image program opens them. The NIfTI files contain the slices as a stack without a size
in mm: **3D Slicer** and **ITK-SNAP** open it, but lengths measured in it are not valid.
"""


def show_downloads(api: Api, study: Study) -> None:
    """Show a button for each result."""
    known = {artifact.name: artifact for artifact in study.artifacts}
    offered = [known[name] for name in TITLES if name in known]
    columns = st.columns(2, gap="medium")
    for place, artifact in enumerate(offered):
        with columns[place % 2]:
            _button(artifact, partial(api.artifact, study.id, artifact.name), study)
    slices = [artifact for artifact in study.artifacts if artifact.name not in (*TITLES, _THUMBNAIL)]
    if slices:
        _slices_button(api, study, slices)
    show_send(api, study)
    st.subheader("Open in other programs")
    st.markdown(ELSEWHERE_PICTURES if study.facts.slices else ELSEWHERE)
    if study.expires_at is not None:
        st.caption(f"The service keeps this study until {study.expires_at:%d %B %Y}, then deletes it permanently.")


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
    """Return the file name of a download, with the start of the study's id.

    >>> file_name(Study.model_construct(id="3f2b8c0d9e4a47f1b6a5c4d3e2f10987"), "mask.nii.gz")
    'metseg-3f2b8c0d-mask.nii.gz'
    """
    return f"metseg-{study.id[:8]}-{name}"


def zipped(api: Api, study: Study, names: Sequence[str]) -> bytes:
    """Return results as one zip file, stored without compression because the files are compressed already."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(name, api.artifact(study.id, name))
    return content.getvalue()


def show_report(api: Api, study: Study) -> None:
    """Show the button for the report in the page head."""
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
