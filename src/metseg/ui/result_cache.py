"""Cache of study results, shared by all sessions.

The keys contain the checksums of the results. A session knows them only if the service has sent it the study, so the
cache gives no session more than the service would.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import streamlit as st

from metseg.client.service_errors import Unexpected
from metseg.schemas import Artifact, Study, StudySummary
from metseg.ui.api_client import Api
from metseg.ui.viewer import nifti_bytes, niivue_data, slice_images
from metseg.ui.viewer.niivue_data import Box
from metseg.ui.viewer.scene import Scene

#: Seconds for which pixels are cached, and the maximum numbers of cached volumes and slices.
_KEEP_S: Final = 900
_VOLUMES: Final = 3
_SLICES: Final = 200
#: Small files, among them the thumbnails of a few pages of the list.
_FILES: Final = 256
_INSTANCES: Final = "lesions.nii.gz"


def artifact_of(study: Study, name: str) -> Artifact | None:
    """Return the entry of a result in the study; None if the study has no such result."""
    return next((artifact for artifact in study.artifacts if artifact.name == name), None)


def has(study: Study, *names: str) -> bool:
    """Return whether a study has all these results."""
    known = {artifact.name for artifact in study.artifacts}
    return known.issuperset(names)


def checksum(study: Study, name: str) -> str:
    """Return the checksum of a result.

    Raises:
        Unexpected: the study has no such result.
    """
    return _checksums(study, name)[0]


def scene(api: Api, study: Study) -> Scene:
    """Return the volume of a study with its result."""
    names = ["image.nii.gz", "mask.nii.gz", "probability.nii.gz", *_known(study, _INSTANCES)]
    return _scene(study.id, _checksums(study, *names), api, study)


def prepared(api: Api, study: Study) -> nifti_bytes.Image:
    """Return the reference sequence of a study after preprocessing, as the network received it."""
    return _nifti(study.id, "prepared.nii.gz", _checksums(study, "prepared.nii.gz"), api)


def slice_of(api: Api, study: Study, index: int) -> slice_images.Slice:
    """Return one slice of a study made of pictures; ``index`` starts at 0."""
    names = [
        *slice_images.slice_names(index + 1),
        *_known(study, slice_images.instances_name(index + 1)),
    ]
    return _slice(study.id, index, _checksums(study, *names), api, study)


def document(api: Api, study: Study) -> bytes:
    """Return ``lesions.json``."""
    return _bytes(study.id, "lesions.json", _checksums(study, "lesions.json"), api)


def thumbnail(api: Api, study: StudySummary) -> bytes:
    """Return the small picture of a study in a list."""
    return _bytes(study.id, "thumbnail.png", (study.updated_at.isoformat(),), api)


@st.cache_data(ttl=_KEEP_S, max_entries=12, show_spinner=False)
def viewer_image(study_id: str, checksum: str, window: tuple[float, float], box: Box | None, _scene: Scene) -> bytes:
    """Return the copy of the image for the viewer."""
    del study_id, checksum  # they are the key
    return niivue_data.image_file(_scene, window, box)


@st.cache_resource(ttl=_KEEP_S, max_entries=_VOLUMES, show_spinner=False)
def _scene(study_id: str, checksums: tuple[str, ...], _api: Api, _study: Study) -> Scene:
    del checksums  # they are part of the key
    image, mask, probability = (
        nifti_bytes.read_nifti(_api.artifact(study_id, name))
        for name in ("image.nii.gz", "mask.nii.gz", "probability.nii.gz")
    )
    # Studies of 0.1.0 have no instance map: their lesions are shown, but cannot be selected in the image.
    known = has(_study, _INSTANCES)
    lesions = nifti_bytes.read_nifti(_api.artifact(study_id, _INSTANCES)).data if known else np.zeros_like(mask.data)
    if not image.data.shape == mask.data.shape == probability.data.shape == lesions.shape:
        raise Unexpected("image and result have different sizes")
    return Scene(image, mask.data, probability.data, _study.lesions, lesions)


@st.cache_resource(ttl=_KEEP_S, max_entries=_VOLUMES, show_spinner=False)
def _nifti(study_id: str, name: str, checksums: tuple[str, ...], _api: Api) -> nifti_bytes.Image:
    del checksums
    return nifti_bytes.read_nifti(_api.artifact(study_id, name))


@st.cache_resource(ttl=_KEEP_S, max_entries=_SLICES, show_spinner=False)
def _slice(study_id: str, index: int, checksums: tuple[str, ...], _api: Api, _study: Study) -> slice_images.Slice:
    del checksums
    found = (_api.artifact(study_id, name) for name in slice_images.slice_names(index + 1))
    picture, labels, probability = found
    name = slice_images.instances_name(index + 1)
    instances = _api.artifact(study_id, name) if has(_study, name) else None
    return slice_images.make_slice(picture, labels, probability, instances)


@st.cache_data(ttl=_KEEP_S, max_entries=_FILES, show_spinner=False)
def _bytes(study_id: str, name: str, checksums: tuple[str, ...], _api: Api) -> bytes:
    del checksums
    return _api.artifact(study_id, name)


def _known(study: Study, name: str) -> tuple[str, ...]:
    """Return the name of a result if the study has it; studies of 0.1.0 have no instance maps."""
    return (name,) if has(study, name) else ()


def _checksums(study: Study, *names: str) -> tuple[str, ...]:
    """Return the checksums of results.

    Raises:
        Unexpected: the study has no such result.
    """
    found = [artifact_of(study, name) for name in names]
    if any(artifact is None for artifact in found):
        missing = ", ".join(name for name, artifact in zip(names, found, strict=True) if artifact is None)
        raise Unexpected(f"the study has no {missing}")
    return tuple(artifact.sha256 for artifact in found if artifact is not None)
