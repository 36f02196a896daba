"""Correct the segmentation of a finished study: review lesions, add one, upload a mask; choose the version to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from metseg.client.service_api import Part
from metseg.client.service_errors import Refusal
from metseg.grade_record import OUTLINES_CORRECTED
from metseg.lesion import Lesion
from metseg.schemas import Artifact, Study
from metseg.ui import error_display, result_cache
from metseg.ui.api_client import Api
from metseg.ui.display_text import browser_zone, finding_words, moment_words, plain
from metseg.ui.viewer import crosshair
from metseg.ui.viewer.lesion_table import lesion_words
from metseg.ui.viewer.nifti_bytes import moved
from metseg.ui.viewer.slice_view import slice_index
from metseg.version_schemas import (
    MAX_AUTHOR,
    MAX_NOTE,
    AddEdit,
    Edit,
    LesionEdit,
    LesionState,
    NewMask,
    NewVersion,
    Version,
    VersionLesion,
    VersionSummary,
)

#: Label of each action of a lesion.
ACTIONS: Final = {"accept": "Accept", "reject": "Reject", "remove": "Remove"}
#: How a version was made, in words.
SOURCES: Final = {"model": "result of the model", "edits": "edited", "mask": "uploaded mask"}
_MASK_NAME: Final = "mask.nii.gz"
#: Results of the model that do not fit a corrected version.
_STALE: Final = "overlay"


class VersionApi(Api):
    """The API of a session, with the files of a corrected version in the place of the results.

    Args:
        api: of the session.
        version: the version.
    """

    def __init__(self, api: Api, version: Version) -> None:
        self.__dict__.update(api.__dict__)  # the same connection and key
        self._version = version
        self._names = {artifact.name for artifact in version.artifacts}

    def artifact(self, study_id: str, name: str) -> bytes:
        """Return the content of a file of the version, or of a result that the version shares with the study."""
        if study_id == self._version.study and name in self._names:
            return self.version_artifact(study_id, self._version.number, name)
        return super().artifact(study_id, name)


@dataclass(frozen=True)
class Opened:
    """The version that the page shows.

    Args:
        api: gives its files.
        study: the study with its lesions and files.
        version: the version; None: the service has no versions (an older one), or does not answer.
        versions: of the study, oldest first.
    """

    api: Api
    study: Study
    version: Version | None = None
    versions: tuple[VersionSummary, ...] = ()


def open_version(api: Api, study: Study) -> Opened:
    """Return the version of a study to show: the latest one, unless the user has chosen another."""
    try:
        versions = api.versions(study.id).versions
        number = st.session_state.get(_version_key(study.id, len(versions)), versions[-1].number)
        version = api.version(study.id, int(number))
    except Refusal:
        return Opened(api, study)
    if version.number == 0:
        return Opened(api, study, version, versions)
    return Opened(VersionApi(api, version), corrected_study(study, version), version, versions)


def corrected_study(study: Study, version: Version) -> Study:
    """Return a study with the lesions and files of a version; rejected lesions are left out."""
    counted = [lesion for lesion in version.table if lesion.state != LesionState.REJECTED]
    names = {artifact.name for artifact in version.artifacts}
    shared: list[Artifact] = [
        artifact for artifact in study.artifacts if artifact.name not in names and not artifact.name.startswith(_STALE)
    ]
    facts = study.facts
    if facts.grade is not None:
        facts = facts.model_copy(update={"grade": None, "no_grade": OUTLINES_CORRECTED})
    return study.model_copy(
        update={
            "facts": facts,
            "lesions": tuple(Lesion.model_validate(lesion.model_dump()) for lesion in counted),
            "headline": version.headline,
            "artifacts": (*version.artifacts, *shared),
        }
    )


def show_corrections(shown: Opened) -> None:
    """Show the panel below the images; nothing where the service has no versions."""
    if shown.version is None:
        return
    st.subheader("Corrections")
    _choose_version(shown)
    latest = shown.versions[-1].number
    if shown.version.number != latest:
        st.info(f"This is an older version. Choose version {latest} to correct the result.", icon=":material/history:")
        return
    with st.expander("Review and correct the lesions", expanded=shown.version.number > 0):
        _panel(shown.api, shown.study, shown.version)


def version_words(version: VersionSummary) -> str:
    """Return the line of a version in the list; always the same text for the same version.

    Streamlit knows an answer by its text: with "5 min ago" in it, the page failed a minute later.

    >>> from datetime import UTC, datetime
    >>> made = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
    >>> version_words(VersionSummary(number=0, source="model", created_at=made, lesions=2, unreviewed=2))
    'Version 0: result of the model, 2 findings, 1 March 2026, 09:05 UTC'
    """
    count = finding_words(version.lesions)
    who = f" by {version.author}" if version.author else ""
    note = f" ({version.note})" if version.note else ""
    made = moment_words(version.created_at, browser_zone())
    return f"Version {version.number}: {SOURCES[version.source]}{who}, {count}, {made}{note}"


def _version_key(study_id: str, count: int) -> str:
    """Return the session key of the chosen version; a new version changes it, so that the latest one is shown."""
    return f"version-{study_id}-{count}"


def _choose_version(shown: Opened) -> None:
    by_number = {version.number: version for version in reversed(shown.versions)}
    st.selectbox(
        "Shown version",
        list(by_number),
        format_func=lambda number: version_words(by_number[number]),
        key=_version_key(shown.study.id, len(shown.versions)),
        on_change=lambda: crosshair.select(shown.study.id, None, []),
        help="Images, lesion table, report and files below are those of this version. Specks count as findings too.",
    )
    version = shown.version
    if version is not None and version.comparison is not None:
        st.caption(plain(comparison_words(version)))


def comparison_words(version: Version) -> str:
    """Return what a version changed, in a sentence."""
    found = version.comparison
    assert found is not None
    same = "" if found.dice is None else f", Dice {found.dice:.3f}"
    if found.volume_ml is None or found.volume_ml_before is None:
        size = f"{found.voxels_before} to {found.voxels} pixels"
    else:
        size = f"{found.volume_ml_before:.3g} to {found.volume_ml:.3g} mL"
    left = f"; {version.unreviewed} not reviewed yet" if version.unreviewed else ""
    counts = f"{found.lesions_before} to {finding_words(found.lesions)}"
    return f"Compared with version {version.parent}: {counts}, {size}{same}{left}."


def _panel(api: Api, study: Study, version: Version) -> None:
    edits = [*_review(study, version), *_additions(api, study, version)]
    author, note = _signature(study, version)
    with error_display.told():
        if st.button(
            f"Save as version {version.number + 1}",
            key=f"save-{study.id}",
            type="primary",
            icon=":material/save:",
            disabled=not edits,
        ):
            new = NewVersion(parent=version.number, edits=tuple(edits), note=note, author=author)
            _saved(api.correct(study.id, new))
        _upload(api, study, version, author, note)


def _review(study: Study, version: Version) -> list[Edit]:
    """Show the actions of each lesion, and return the chosen ones."""
    edits: list[Edit] = []
    for lesion in version.table:
        words, actions = st.columns([1.6, 1], vertical_alignment="center")
        words.markdown(f"{plain(lesion_words(lesion, study.facts.slices))}: **{lesion.state}**")
        with actions:
            action: Any = st.segmented_control(
                f"Lesion {lesion.id}",
                _actions_of(lesion),
                format_func=ACTIONS.__getitem__,
                key=f"review-{study.id}-{version.number}-{lesion.id}",
                label_visibility="collapsed",
            )
        if action is not None:
            edits.append(LesionEdit(action=action, lesion=lesion.id))
    if not version.table:
        st.caption("This version has no lesions.")
    return edits


def _actions_of(lesion: VersionLesion) -> list[str]:
    """Return the actions that change the state of a lesion."""
    done = {LesionState.ACCEPTED: "accept", LesionState.REJECTED: "reject"}.get(lesion.state)
    return [action for action in ACTIONS if action != done]


def _additions(api: Api, study: Study, version: Version) -> list[AddEdit]:
    """Show the button for a new lesion and the points so far, and return these."""
    key = f"added-{study.id}-{version.number}"
    added: list[AddEdit] = st.session_state.setdefault(key, [])
    if study.facts.slices:
        edit = _picture_point(study)
        label = "Add a lesion at this point"
    else:
        edit, label = None, "Add a lesion at the crosshair"
    if st.button(label, key=f"add-{study.id}", icon=":material/add_location:"):
        with error_display.told():
            added.append(edit or AddEdit(action="add", point_mm=_crosshair_mm(api, study)))
    for place, item in enumerate(list(added)):
        text, undo = st.columns([4, 1], vertical_alignment="center")
        text.markdown(f"New lesion at {place_of(item)}. The region is grown when you save.")
        if undo.button("Undo", key=f"undo-{study.id}-{place}"):
            added.pop(place)
            st.rerun()
    return added


def place_of(edit: AddEdit) -> str:
    """Return the place of an added lesion in words.

    >>> place_of(AddEdit(action="add", voxel=(3, 4, 0))), place_of(AddEdit(action="add", point_mm=(1.25, -2, 3)))
    ('column 4, row 5 of picture 1', 'x 1.2, y -2.0, z 3.0 mm')
    """
    if edit.point_mm is not None:
        x, y, z = edit.point_mm
        return f"x {x:.1f}, y {y:.1f}, z {z:.1f} mm"
    assert edit.voxel is not None
    column, row, picture = (index + 1 for index in edit.voxel)
    return f"column {column}, row {row} of picture {picture}"


def _crosshair_mm(api: Api, study: Study) -> tuple[float, float, float]:
    scene = result_cache.scene(api, study)
    x, y, z = moved(scene.image.affine, crosshair.crosshair(study.id, scene))
    return float(x), float(y), float(z)


def _picture_point(study: Study) -> AddEdit:
    """Show the inputs for a point of the selected picture, and return it."""
    columns, rows = (study.facts.shape or (1, 1))[:2]
    left, right = st.columns(2)
    column = left.number_input("Column", 1, columns, columns // 2 or 1, key=f"column-{study.id}")
    row = right.number_input("Row", 1, rows, rows // 2 or 1, key=f"row-{study.id}")
    return AddEdit(action="add", voxel=(int(column) - 1, int(row) - 1, slice_index(study)))


def _signature(study: Study, version: Version) -> tuple[str, str]:
    """Show the inputs for author and note, and return them."""
    left, right = st.columns([1, 2])
    author = left.text_input("Your name or initials", max_chars=MAX_AUTHOR, key=f"author-{study.id}")
    note = right.text_input(
        "Note", max_chars=MAX_NOTE, key=f"note-{study.id}-{version.number}", help="Leave out names of patients."
    )
    return author.strip(), note.strip()


def _upload(api: Api, study: Study, version: Version, author: str, note: str) -> None:
    """Show the upload of a corrected mask."""
    given = st.file_uploader(
        "Or upload a corrected mask (NIfTI)",
        key=f"mask-{study.id}-{version.number}",
        help="Draw it on the image and the mask under 'Report and files', for example in 3D Slicer or ITK-SNAP.",
    )
    if given is None:
        return
    if st.button(f"Save this mask as version {version.number + 1}", key=f"save-mask-{study.id}", type="primary"):
        part = Part("file", _MASK_NAME, given.getvalue())
        _saved(api.upload_mask(study.id, part, NewMask(parent=version.number, note=note, author=author)))


def _saved(version: Version) -> None:
    st.toast(grown_words(version))
    st.rerun()


def grown_words(version: Version) -> str:
    """Return the message after a version was saved: with the regions that were added."""
    regions: Sequence[str] = [
        f"{region.voxels} voxels with a probability of at least {region.threshold:.2f}" for region in version.grown
    ]
    return f"Version {version.number} is saved." + (f" Added: {'; '.join(regions)}." if regions else "")
