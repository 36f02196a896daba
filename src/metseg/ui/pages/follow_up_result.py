"""Show what changed between the studies of a patient: changes first, then all lesions over time."""

from __future__ import annotations

from functools import partial
from typing import Final

import pandas as pd
import streamlit as st

from metseg.follow_up_document import FollowUpDocument, LesionRecord, ResponseRecord, StateRecord
from metseg.follow_up_schemas import StoredFollowUp
from metseg.schemas import Artifact
from metseg.ui import result_cache, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import plain, size_words

_TITLES: Final = {
    "report.pdf": "Report (PDF)",
    "report.html": "Report (web page)",
    "follow-up.csv": "Lesions over time (CSV)",
    "follow-up.json": "All results (JSON)",
}


def show_follow_up(api: Api, follow_up: StoredFollowUp) -> None:
    """Show a comparison."""
    document = follow_up.document
    for doubt in document.doubts:
        st.warning(plain(doubt), icon=":material/info:")
    st.title(plain(follow_up.headline[0].rstrip(".")))
    for sentence in follow_up.headline[1:]:
        st.markdown(f"**{plain(sentence)}**")
    st.caption(plain(subtitle(follow_up)))
    _show_changes(api, follow_up)
    st.subheader("All lesions over time")
    st.dataframe(lesion_table(document), hide_index=True, key=f"lesions-{follow_up.id}")
    st.caption(
        "Volume in mL; longest axial diameter and the diameter across it in mm. A lesion has the same number at every "
        "examination."
    )
    _show_response(document)
    _show_examinations(document)
    _show_files(api, follow_up)
    st.caption(plain(follow_up.notice))


def subtitle(follow_up: StoredFollowUp) -> str:
    """Return label, number of studies and where the masks come from, in one line."""
    document = follow_up.document
    models = ", ".join(sorted({timepoint.model for timepoint in document.timepoints}))
    parts = [follow_up.label, f"{len(document.timepoints)} studies", models, f"comparison {follow_up.id[:8]}"]
    return "; ".join(filter(None, parts))


def _show_changes(api: Api, follow_up: StoredFollowUp) -> None:
    st.subheader("What changed")
    if not follow_up.changes:
        st.markdown("No lesion at either of the last two examinations.")
    for change in follow_up.changes:
        st.markdown(f"- {plain(change.sentence)}")
    st.caption(plain(follow_up.document.error_source))
    artifacts = {artifact.name: artifact for artifact in follow_up.artifacts}
    for change in follow_up.changes:
        artifact = artifacts.get(change.picture or "")
        if artifact is not None:
            picture = result_cache.follow_up_picture(api, follow_up.id, artifact)
            st.image(picture, caption=change.sentence, width="stretch")


def lesion_table(document: FollowUpDocument) -> pd.DataFrame:
    """Return one row per lesion with its size at each examination in words."""
    return pd.DataFrame(
        [
            {
                "No.": lesion.id,
                **{one.name: size_text(lesion, one.name) for one in document.timepoints},
                "Target": "target" if lesion.target else "",
            }
            for lesion in document.lesions
        ],
        columns=["No.", *(one.name for one in document.timepoints), "Target"],
    )


def size_text(lesion: LesionRecord, timepoint: str) -> str:
    """Return the size of a lesion at an examination, or why it has none.

    >>> gone = StateRecord(timepoint="b", event="vanished")
    >>> size_text(LesionRecord(id=1, target=False, states=(gone,)), "b")
    'no longer seen'
    >>> size_text(LesionRecord(id=1, target=False, states=(gone,)), "a")
    '-'
    """
    state = next((one for one in lesion.states if one.timepoint == timepoint), None)
    if state is None:
        return "-"
    if state.volume_ml is None:
        return _absence(state)
    diameters = f"{state.longest_axial_mm:.1f} x {state.perpendicular_axial_mm:.1f} mm"
    return f"{state.volume_ml:.2f} mL; {diameters}{_note(state)}"


def _absence(state: StateRecord) -> str:
    if state.event == "merged":
        return f"merged with lesion {state.related}"
    return "no longer seen" if state.event == "vanished" else "not seen"


def _note(state: StateRecord) -> str:
    """Return what is special about a lesion that is there."""
    notes = {"new": ", new", "returned": ", seen again", "split": f", piece of lesion {state.related}"}
    return notes.get(state.event, "")


def _show_response(document: FollowUpDocument) -> None:
    st.subheader("Response by RANO-BM")
    targets = ", ".join(map(str, document.targets)) or "none"
    st.markdown(
        f"Target lesions: {targets}. Sum of their longest diameters at the first examination: "
        f"{document.baseline_sum_mm:.1f} mm."
    )
    st.dataframe(response_table(document), hide_index=True, key="response")
    for record in document.response:
        st.caption(plain(f"{record.timepoint}: {_reasons(record)}"))
    st.caption(plain(f"{document.sources['criteria']}. By volume, exploratory: {document.sources['volumetric']}."))


def response_table(document: FollowUpDocument) -> pd.DataFrame:
    """Return sums and categories at each examination after the first."""
    return pd.DataFrame(
        [
            {
                "Examination": record.timepoint,
                "Sum (mm)": f"{record.sum_mm:.1f}",
                "from first": _percent(record.diameters_from_baseline_percent),
                "from smallest": _percent(record.diameters_from_nadir_percent),
                "Imaging only": record.imaging.category,
                "With steroids and clinical status": "-" if record.complete is None else record.complete.category,
                "By volume": record.volumetric.category,
            }
            for record in document.response
        ]
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.0f} %"


def _reasons(record: ResponseRecord) -> str:
    complete = "" if record.complete is None else f"{record.complete.category}, {record.complete.reason}. "
    return f"{complete}Imaging only: {record.imaging.category}, {record.imaging.reason}."


def _show_examinations(document: FollowUpDocument) -> None:
    with st.expander("Examinations and their registration"):
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "Examination": one.name,
                        "Lesions": one.lesions,
                        "Volume (mL)": f"{one.volume_ml:.2f}",
                        "Shift (mm)": f"{one.registration.shift_mm:.1f}",
                        "Rotation (degrees)": f"{one.registration.rotation_degrees:.1f}",
                        "Registration": one.registration.verdict if place else "first",
                    }
                    for place, one in enumerate(document.timepoints)
                ]
            ),
            hide_index=True,
            key="examinations",
        )


def _show_files(api: Api, follow_up: StoredFollowUp) -> None:
    st.subheader("Files")
    known = {artifact.name: artifact for artifact in follow_up.artifacts}
    with st.container(horizontal=True):
        for name in filter(known.__contains__, _TITLES):
            _file_button(api, follow_up, known[name])
    if st.button("All comparisons", key="back-to-follow-ups", icon=":material/list:"):
        session_state.open_page(session_state.FOLLOW_UPS)
        st.rerun()


def _file_button(api: Api, follow_up: StoredFollowUp, artifact: Artifact) -> None:
    st.download_button(
        f"{_TITLES[artifact.name]}, {size_words(artifact.bytes)}",
        data=partial(api.follow_up_artifact, follow_up.id, artifact.name),
        file_name=f"metseg-{follow_up.id[:8]}-{artifact.name}",
        mime=artifact.media_type,
        key=f"download-{follow_up.id}-{artifact.name}",
        on_click="ignore",
        type="primary" if artifact.name == "report.pdf" else "secondary",
        icon=":material/download:",
    )
