"""Search a PACS, take a study from it, and store results in it; for operators where a PACS is configured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import streamlit as st

from metseg.client.service_errors import Refusal
from metseg.pacs_schemas import PacsFetch, PacsSearch, PacsStudy, PacsStudyList
from metseg.schemas import LABEL_CHARACTERS, Study
from metseg.ui import error_display, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import plain
from metseg.ui.pages.study_label import LABEL_HINT, checked_label

_FOUND: Final = "_pacs_found"
_TEXT: Final = 64
_NAME_HELP: Final = "Such as Doe* or Doe^Jane."
#: What is stored in a PACS, above the button.
SENT_RESULTS: Final = (
    "This stores the DICOM files that are listed above: the result of the model as it was computed. Corrections made "
    "on this page are not in them."
)


def show_pacs(api: Api) -> None:
    """Show the search, and the studies that it found with a button to take each."""
    st.title("Search the PACS")
    names = api.pacs()
    if not names:
        st.info("No PACS can be searched: none is configured, or your key does not allow it.")
        return
    name = st.selectbox("PACS", names, key="pacs-name") if len(names) > 1 else names[0]
    asked = _conditions()
    if st.button("Search", key="pacs-search", type="primary", disabled=not is_narrow(asked)):
        with error_display.told():
            st.session_state[_FOUND] = (name, api.search_pacs(str(name), asked))
    found_in, found = st.session_state.get(_FOUND, (None, None))
    if isinstance(found, PacsStudyList) and found_in == name:
        _show_found(api, str(name), found)


def _conditions() -> PacsSearch:
    (patient_id, patient_name), (days, description, modality) = st.columns(2), st.columns(3)
    no_days: Any = ()  # an empty range, which Streamlit accepts and its types do not
    given: Any = days.date_input("Date of the study: from, to", value=no_days, key="pacs-dates", format="YYYY-MM-DD")
    return PacsSearch(
        patient_id=_line(patient_id.text_input("Patient id", key="pacs-id", max_chars=_TEXT)),
        patient_name=_line(
            patient_name.text_input("Patient name", key="pacs-patient", max_chars=_TEXT, help=_NAME_HELP)
        ),
        dates=dates_of(given),
        description=_line(description.text_input("Description", key="pacs-description", max_chars=_TEXT)),
        modality=modality.selectbox("Modality", ("MR", ""), key="pacs-modality", format_func=lambda one: one or "any"),
    )


def is_narrow(asked: PacsSearch) -> bool:
    """Return whether a search has a condition beside the modality, which alone would list most of a PACS.

    >>> is_narrow(PacsSearch(modality="MR")), is_narrow(PacsSearch(patient_name="Doe*"))
    (False, True)
    """
    return asked.model_copy(update={"modality": ""}) != PacsSearch()


def _line(text: str) -> str:
    """Return a condition without the backslash, which separates values in DICOM."""
    return " ".join(text.replace("\\", " ").split())


def dates_of(days: Sequence[date]) -> str:
    """Return the days of a search as DICOM writes them.

    >>> dates_of([]), dates_of([date(2026, 1, 31)]), dates_of([date(2026, 1, 1), date(2026, 1, 31)])
    ('', '20260131', '20260101-20260131')
    """
    return "-".join(f"{day:%Y%m%d}" for day in days)


def _show_found(api: Api, name: str, found: PacsStudyList) -> None:
    if not found.studies:
        st.info("The PACS has no study that matches. Many PACS search with * only: Doe* finds Doe^Jane.")
    if found.truncated:
        st.warning("More studies match than are shown. Add a condition.")
    for study in found.studies:
        with st.container(border=True):
            words, button = st.columns([6, 2], vertical_alignment="center")
            words.markdown(f"**{plain(study.patient_name or study.patient_id)}**  \n{plain(study_line(study))}")
            with button.popover("Analyse", icon=":material/download:"):
                _fetch(api, name, study)


def study_line(study: PacsStudy) -> str:
    """Return date, description, modalities and number of images of a study."""
    day = f"{study.date[:4]}-{study.date[4:6]}-{study.date[6:]}" if len(study.date) == 8 else study.date
    images = "" if study.instances is None else f"{study.instances} objects"
    parts = [f"id {study.patient_id}", day, study.description, ", ".join(study.modalities), images]
    return "; ".join(filter(None, parts))


def _fetch(api: Api, name: str, study: PacsStudy) -> None:
    given = st.text_input("Label", key=f"pacs-label-{study.study_uid}", max_chars=LABEL_CHARACTERS, help=LABEL_HINT)
    label = checked_label(given)
    if st.button("Take and analyse", key=f"pacs-fetch-{study.study_uid}", type="primary", disabled=label is None):
        with error_display.told():
            with st.spinner("Taking the images from the PACS."):
                taken = api.fetch_from_pacs(name, PacsFetch(study_uid=study.study_uid, label=label or ""))
            st.session_state.pop(_FOUND, None)  # names of patients are not kept longer than needed
            session_state.open_study(taken.id)
            st.rerun()


def show_send(api: Api, study: Study) -> None:
    """Offer to store the DICOM results of a study in a PACS, if there are any and a PACS is configured."""
    if not any(artifact.name.endswith(".dcm") for artifact in study.artifacts):
        return
    names = api.pacs()
    if not names:
        return
    st.subheader("Store in the PACS")
    st.markdown(SENT_RESULTS)
    is_corrected = _is_corrected(api, study)
    confirmed = not is_corrected or _confirmed(study)
    name = st.selectbox("PACS", names, key=f"pacs-of-{study.id}") if len(names) > 1 else names[0]
    if st.button(
        "Store the DICOM results", key=f"pacs-send-{study.id}", icon=":material/upload:", disabled=not confirmed
    ):
        with error_display.told():
            sent = api.send_to_pacs(str(name), study.id, without_corrections=is_corrected)
            st.success(f"Stored: {len(sent.stored)}. Already there: {len(sent.present)}.")
            for failure in sent.failed:
                st.error(plain(f"{failure.name}: {failure.reason}"))


def _is_corrected(api: Api, study: Study) -> bool:
    try:
        return any(version.number for version in api.versions(study.id).versions)
    except Refusal as error:
        if error.code != "request.unknown":
            raise
        return False  # an older service, which has no corrections


def _confirmed(study: Study) -> bool:
    """Warn of the corrections that are not sent, and return whether the user confirms that."""
    st.warning(
        "This study was corrected. Lesions that were rejected are in the DICOM files, and lesions that were added or "
        "drawn are not."
    )
    return st.checkbox("Store the result of the model without the corrections", key=f"pacs-uncorrected-{study.id}")
