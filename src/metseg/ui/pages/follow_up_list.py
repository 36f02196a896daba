"""Choose studies of one patient to compare over time, and list the comparisons that were made."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, cast

import streamlit as st

from metseg.client.service_errors import Refusal
from metseg.follow_up_document import ClinicalStatus, Steroids
from metseg.follow_up_schemas import MAX_EXAMINATIONS, FollowUpSummary, NewExamination, NewFollowUp, StoredFollowUp
from metseg.schemas import LABEL_CHARACTERS, Kind, State, StudySummary
from metseg.ui import error_display, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import KINDS, browser_zone, finding_words, moment_words, plain
from metseg.ui.pages.study_label import LABEL_HINT, checked_label

#: Number of studies that are offered, and of comparisons that are listed: the newest.
OFFERED: Final = 200
LISTED: Final = 50

#: Key of the studies that the service has refused because of their patient ids.
_DIFFERENT: Final = "follow-different-patients"

_UNKNOWN: Final = "not known"
_STEROIDS: Final = (_UNKNOWN, "none", "decreased", "stable", "increased")
_CLINICAL: Final = (_UNKNOWN, "improved", "stable", "worse")
_CLINICAL_HELP: Final = (
    "In comparison with the first examination. Without both, RANO-BM is imaging only; worse alone is progression."
)


def show_follow_ups(api: Api) -> None:
    """Show the form for a new comparison, and the list of those that exist."""
    st.title("Follow-up")
    st.markdown("Compare two or more finished studies of one patient: what changed, and by how much.")
    with error_display.told():
        _new(api)
    st.subheader("Earlier comparisons")
    found = api.follow_ups(limit=LISTED).follow_ups
    if not found:
        st.caption("None yet.")
    for follow_up in found:
        _row(api, follow_up)


def _new(api: Api) -> None:
    """Ask for the studies, their dates and clinical facts, and compare them."""
    done = api.studies(limit=OFFERED, state=State.DONE).studies
    known = {study.id: study for study in done if study.kind != Kind.PICTURE}
    if len(known) < 2:
        st.info("Two finished studies are needed. Pictures (PNG, JPEG) cannot be compared: they have no voxel size.")
        return
    chosen: list[str] = st.multiselect(
        "Studies of one patient",
        list(known),
        format_func=lambda study_id: study_words(known[study_id]),
        key="follow-studies",
        max_selections=MAX_EXAMINATIONS,
    )
    st.caption(
        "You must know that the studies are of one patient. The service stores no names; it only refuses DICOM studies "
        "with different patient ids."
    )
    dates = {study_id: st.session_state.get(_day_key(study_id)) for study_id in chosen}
    in_order = by_date(chosen, dates)
    examinations = [_examination(known[study_id], place) for place, study_id in enumerate(in_order)]
    is_order_known = len(chosen) < 2 or any(dates.values()) or _confirm_order(in_order, known)
    given = st.text_input("Label", key="follow-label", max_chars=LABEL_CHARACTERS, help=LABEL_HINT)
    label = checked_label(given)
    problem = examination_problem(examinations)
    if problem:
        st.caption(problem)
    allow_different_ids = _confirm_patient(in_order)
    is_ready = len(examinations) > 1 and is_order_known and not problem and label is not None
    if st.button("Compare", key="follow", type="primary", disabled=not is_ready):
        with st.spinner("Comparing the studies: a few seconds for each."):
            new = NewFollowUp(
                examinations=tuple(examinations), label=label or "", allow_different_ids=allow_different_ids
            )
            made = _compared(api, new)
        session_state.open_follow_up(made.id)
        st.rerun()


def _compared(api: Api, new: NewFollowUp) -> StoredFollowUp:
    """Compare studies; if they seem to be of different patients, have the page ask for a confirmation."""
    try:
        return api.follow_up(new)
    except Refusal as error:
        if error.code != "request.different_patients":
            raise
        st.session_state[_DIFFERENT] = [one.study for one in new.examinations]
        st.rerun()


def _confirm_patient(in_order: Sequence[str]) -> bool:
    """Return whether the user confirms that studies with different patient ids are of one patient."""
    if sorted(st.session_state.get(_DIFFERENT, ())) != sorted(in_order) or not in_order:
        return False
    st.warning("The studies seem to be of different patients: their DICOM files have different patient ids.")
    return st.checkbox(
        "The patient is the same nevertheless",
        key=f"follow-patient-{'-'.join(sorted(in_order))}",
        help="For example studies of two hospitals. If the patients differ, no number of the comparison is valid.",
    )


def study_words(study: StudySummary) -> str:
    """Return the words of a study in the list of those to choose from."""
    label = f"{study.label}, " if study.label else ""
    model = f" by {study.model}" if study.model else ""
    moment = moment_words(study.created_at, browser_zone())
    return f"{label}{KINDS[study.kind]}{model}, {finding_words(study.lesions or 0)}, {moment}, {study.id[:8]}"


def _examination(study: StudySummary, place: int) -> NewExamination:
    """Ask for the date of an examination, and for steroids and clinical status of the later ones."""
    with st.container(border=True):
        st.markdown(f"**{place + 1}. {plain(study.label or study.id[:8])}**")
        columns = st.columns(3)
        day: Any = columns[0].date_input(
            "Date of the examination", value=None, key=_day_key(study.id), format="YYYY-MM-DD",
            min_value=date(1970, 1, 1), help="For all studies, or for none. Dates give the order of the studies.",
        )  # fmt: skip
        if not place:
            return NewExamination(study=study.id, day=day)
        steroids, clinical = (
            column.selectbox(title, values, key=f"follow-{name}-{study.id}", help=_CLINICAL_HELP)
            for column, title, values, name in (
                (columns[1], "Steroids", _STEROIDS, "steroids"),
                (columns[2], "Clinical status", _CLINICAL, "clinical"),
            )
        )
        return NewExamination(
            study=study.id,
            day=day,
            steroids=cast(Steroids | None, _known(steroids)),
            clinical=cast(ClinicalStatus | None, _known(clinical)),
        )


def _day_key(study_id: str) -> str:
    return f"follow-day-{study_id}"


def by_date(chosen: Sequence[str], dates: Mapping[str, date | None]) -> list[str]:
    """Return the chosen studies in the order of their dates, or as they were chosen if a date is not known.

    >>> by_date(["a", "b"], {"a": date(2024, 5, 1), "b": date(2024, 1, 1)})
    ['b', 'a']
    >>> by_date(["a", "b"], {"a": date(2024, 5, 1)})
    ['a', 'b']
    """
    days = {study_id: day for study_id in chosen if (day := dates.get(study_id)) is not None}
    return sorted(chosen, key=lambda study_id: days[study_id]) if len(days) == len(chosen) else list(chosen)


def _confirm_order(in_order: Sequence[str], known: Mapping[str, StudySummary]) -> bool:
    """Return whether the user confirms the order of studies without dates; the list offers the newest upload first.

    In the wrong order, growth is taken for a response, and a response for progression.
    """
    names = [plain(known[study_id].label or study_id[:8]) for study_id in in_order]
    st.markdown(
        f"Without dates, the studies are compared in the order in which you chose them: {', then '.join(names)}."
    )
    return st.checkbox(
        f"This is the order of the examinations: {names[0]} is the earliest",
        key=f"follow-order-{'-'.join(in_order)}",
        help="In the wrong order, growth looks like a response. Else give the dates, or choose the studies again.",
    )


def _known(value: str | None) -> str | None:
    return None if value == _UNKNOWN else value


def examination_problem(examinations: Sequence[NewExamination]) -> str:
    """Return what must be filled in or changed before examinations can be compared; empty: nothing.

    >>> examination_problem([NewExamination(study="0" * 32, day=date(2024, 5, 1)), NewExamination(study="1" * 32)])
    'Give the dates of all studies, or of none.'
    """
    days = [one.day for one in examinations if one.day is not None]
    if days and len(days) < len(examinations):
        return "Give the dates of all studies, or of none."
    if any(later <= earlier for earlier, later in itertools.pairwise(days)):
        return "Two studies have the same date. Every examination needs a date of its own."
    for values in ([one.steroids for one in examinations[1:]], [one.clinical for one in examinations[1:]]):
        if any(value is None for value in values) and any(value is not None for value in values):
            return "Give steroids and clinical status for all studies after the first, or for none."
    return ""


def _row(api: Api, follow_up: FollowUpSummary) -> None:
    with st.container(border=True):
        words, buttons = st.columns([5, 3], vertical_alignment="center")
        label = f"**{plain(follow_up.label)}**  \n" if follow_up.label else ""
        words.markdown(f"{label}{plain(follow_up.headline[0])}")
        words.caption(
            plain(f"{len(follow_up.examinations)} studies, {moment_words(follow_up.created_at, browser_zone())}")
        )
        with buttons, st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Open", key=f"open-follow-up-{follow_up.id}"):
                session_state.open_follow_up(follow_up.id)
                st.rerun()
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown("The comparison is deleted permanently; its studies stay.")
                if st.button("Delete now", key=f"delete-follow-up-{follow_up.id}", type="primary"):
                    with error_display.told():
                        api.delete_follow_up(follow_up.id)
                        st.rerun()
