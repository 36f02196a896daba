"""Cache of study results, shared by all sessions.

The keys contain the checksums of the results. A session knows them only if the service has sent it the study, so the
cache gives no session more than the service would.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import streamlit as st

from metseg.client.service_errors import Unexpected
from metseg.schemas import SEQUENCES, Artifact, Study, StudySummary
from metseg.ui.api_client import Api
from metseg.ui.viewer import nifti_bytes, slice_images, viewer_files
from metseg.ui.viewer.heat_map import MapKind, map_file
from metseg.ui.viewer.scene import Scene, mask_on_grid
from metseg.ui.viewer.viewer_files import GreyCopy

#: Seconds for which pixels are cached, and the maximum numbers of cached volumes and slices.
_KEEP_S: Final = 900
_VOLUMES: Final = 3
_SLICES: Final = 200
_IMAGE: Final = "image.nii.gz"
_INSTANCES: Final = "lesions.nii.gz"
_BRAIN: Final = "brain_mask.nii.gz"
#: Maximum number of cached files for the viewer: sequences and results of a few studies, some MB each.
_VIEWER_FILES: Final = 16
#: Small files, among them the thumbnails of a few pages of the list.
_FILES: Final = 256


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
    names = [_IMAGE, "mask.nii.gz", "probability.nii.gz", *_known(study, _INSTANCES), *_known(study, _BRAIN)]
    return _scene(study.id, _checksums(study, *names), api, study)


def reference_name(study: Study) -> str:
    """Return the name of the reference sequence, the one on the grid of the result."""
    return study.facts.reference or "image"


def sequence_names(study: Study) -> list[str]:
    """Return the names of the sequences that can be shown, in the same order for every study.

    Studies of 0.1.0 have stored the reference only.
    """
    reference = reference_name(study)
    names = [name for name in study.facts.sequences if name == reference or has(study, _sequence_file(name))]
    usual = [name for name in SEQUENCES if name in names]
    return [*usual, *(name for name in names if name not in usual)] or [reference]


def viewer_image(api: Api, study: Study, name: str, scene: Scene) -> GreyCopy:
    """Return the copy of a sequence for the viewer."""
    file = _IMAGE if name == reference_name(study) else _sequence_file(name)
    return _viewer_image(study.id, file, checksum(study, file), api, scene)


def viewer_overlays(study: Study, scene: Scene, threshold: float | None) -> dict[str, bytes]:
    """Return the files that the viewer draws on images: ``labels``, ``lesions``, and ``brain`` if it is known."""
    names = [name for name in (_INSTANCES, _BRAIN) if has(study, name)]
    return _viewer_overlays(study.id, _checksums(study, "mask.nii.gz", *names), threshold, scene)


def viewer_map(api: Api, study: Study, kind: MapKind) -> bytes:
    """Return a map of the study for the viewer."""
    return _viewer_map(study.id, _checksums(study, f"{kind.name}.nii.gz"), api, kind)


def _sequence_file(name: str) -> str:
    return f"sequence-{name}.nii.gz"


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


def slice_map(api: Api, study: Study, kind: MapKind, index: int) -> npt.NDArray[np.uint16]:
    """Return a map of one slice, (rows, columns), 0 to 65535; ``index`` starts at 0."""
    name = f"{kind.name}-{index + 1}.png"
    return slice_images.stored_plane(_bytes(study.id, name, _checksums(study, name), api))


def document(api: Api, study: Study) -> bytes:
    """Return ``lesions.json``."""
    return _bytes(study.id, "lesions.json", _checksums(study, "lesions.json"), api)


def thumbnail(api: Api, study: StudySummary) -> bytes:
    """Return the small picture of a study in a list."""
    return _bytes(study.id, "thumbnail.png", (study.updated_at.isoformat(),), api)


def follow_up_picture(api: Api, follow_up_id: str, artifact: Artifact) -> bytes:
    """Return the picture of a changed lesion in a follow-up."""
    return _follow_up_bytes(follow_up_id, artifact.name, artifact.sha256, api)


@st.cache_data(ttl=_KEEP_S, max_entries=_FILES, show_spinner=False)
def _follow_up_bytes(follow_up_id: str, name: str, checksum: str, _api: Api) -> bytes:
    del checksum  # part of the key
    return _api.follow_up_artifact(follow_up_id, name)


@st.cache_resource(ttl=_KEEP_S, max_entries=_VIEWER_FILES, show_spinner=False)
def _viewer_image(study_id: str, file: str, checksum: str, _api: Api, _scene: Scene) -> GreyCopy:
    del checksum  # part of the key
    if file == _IMAGE:
        return viewer_files.grey_copy(_scene.image, _scene.brain)
    image = nifti_bytes.read_nifti(_api.artifact(study_id, file))
    is_on_grid = image.data.shape == _scene.shape and np.allclose(image.affine, _scene.image.affine, atol=1e-3)
    return viewer_files.grey_copy(image, _scene.brain if is_on_grid else None)


@st.cache_resource(ttl=_KEEP_S, max_entries=_VIEWER_FILES, show_spinner=False)
def _viewer_map(study_id: str, checksums: tuple[str, ...], _api: Api, _kind: MapKind) -> bytes:
    del checksums  # they are part of the key
    return map_file(nifti_bytes.read_nifti(_api.artifact(study_id, f"{_kind.name}.nii.gz")), _kind)


@st.cache_resource(ttl=_KEEP_S, max_entries=_VIEWER_FILES, show_spinner=False)
def _viewer_overlays(
    study_id: str, checksums: tuple[str, ...], threshold: float | None, _scene: Scene
) -> dict[str, bytes]:
    del study_id, checksums  # they are the key
    files = {"labels": viewer_files.labels_file(_scene, threshold), "lesions": viewer_files.lesions_file(_scene)}
    return files if _scene.brain is None else {**files, "brain": viewer_files.brain_file(_scene.brain, _scene)}


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
    brain = nifti_bytes.read_nifti(_api.artifact(study_id, _BRAIN)) if has(_study, _BRAIN) else None
    on_image = None if brain is None else mask_on_grid(brain, image)
    return Scene(image, mask.data, probability.data, _study.lesions, lesions, on_image)


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
