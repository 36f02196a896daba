"""List of the user's studies."""

from __future__ import annotations

import streamlit as st

from metseg.schemas import State, StudyList, StudySummary
from metseg.ui import error_display, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import KINDS, STATE_ICONS, STATES, ago, plain
from metseg.ui.error_messages import words_for

#: Number of studies in the sidebar, and per page of the list.
RECENT, _PAGE = 8, 25


def show_recent(studies: StudyList) -> None:
    """Show the newest studies, each with a button to open it."""
    st.caption("Recent studies")
    for study in studies.studies:
        opened = study.id == session_state.open_study_id()
        if st.button(
            short_words(study),
            key=f"recent-{study.id}",
            icon=STATE_ICONS[study.state],
            type="secondary" if opened else "tertiary",
            width="stretch",
        ):
            session_state.open_study(study.id)
            st.rerun()
    if not studies.studies:
        st.caption("None yet.")
    elif st.button("All studies", key="all-studies", icon=":material/list:", width="stretch"):
        session_state.open_history()
        st.rerun()


def show_history(api: Api) -> None:
    """Show all studies, newest first, with buttons to open and delete each."""
    st.title("Studies")
    found = _pages(api)
    if not found.studies:
        st.info("There are no studies yet.")
    for study in found.studies:
        _row(api, study)
    if found.next is not None and st.button("Show more", key="more-studies"):
        st.session_state["_history_pages"] = int(st.session_state.get("_history_pages", 1)) + 1
        st.rerun()


def _pages(api: Api) -> StudyList:
    """Return as many pages of the list as the user requested."""
    listed = api.studies(limit=_PAGE)
    found = list(listed.studies)
    for _ in range(int(st.session_state.get("_history_pages", 1)) - 1):
        if listed.next is None:
            break
        listed = api.studies(limit=_PAGE, after=listed.next)
        found += listed.studies
    return StudyList(studies=tuple(found), next=listed.next)


def _row(api: Api, study: StudySummary) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"{STATE_ICONS[study.state]} {plain(long_words(study))}", width="stretch")
        if st.button("Open", key=f"open-{study.id}"):
            session_state.open_study(study.id)
            st.rerun()
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown("Images and results are deleted permanently.")
            if st.button("Delete now", key=f"delete-{study.id}", type="primary"):
                _delete(api, study.id)


def _delete(api: Api, study_id: str) -> None:
    with error_display.told():
        api.delete(study_id)
        st.rerun()


def outcome_words(study: StudySummary) -> str:
    """Return the outcome of a study in a few words."""
    if study.state == State.DONE:
        count = study.lesions or 0
        return "nothing found" if not count else "1 finding" if count == 1 else f"{count} findings"
    return f"{study.progress:.0%}" if study.state == State.RUNNING else STATES[study.state]


def short_words(study: StudySummary) -> str:
    """Return the line of a study in the sidebar, without progress: the sidebar is not redrawn during the analysis."""
    outcome = STATES[study.state] if study.state == State.RUNNING else outcome_words(study)
    return f"{KINDS[study.kind]}, {outcome}, {ago(study.created_at)}"


def long_words(study: StudySummary) -> str:
    """Return the line of a study in the list: kind, model, outcome, age and short id."""
    model = f" by {study.model}" if study.model else ""
    why = f": {words_for(study.failure.code).title}" if study.failure else ""
    return f"{KINDS[study.kind]}{model}, {outcome_words(study)}{why}, {ago(study.created_at)}, {study.id[:8]}"
