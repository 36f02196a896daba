"""List of the user's studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final

import streamlit as st

from metseg.errors import MetsegError
from metseg.schemas import LABEL_CHARACTERS, State, StudyList, StudySummary
from metseg.ui import error_display, result_cache, session_state
from metseg.ui.api_client import Api
from metseg.ui.display_text import KINDS, STATE_ICONS, STATES, ago, browser_zone, finding_words, moment_words, plain
from metseg.ui.error_messages import words_for
from metseg.ui.pages.study_label import LABEL_HINT, checked_label

#: Number of studies in the sidebar, and per page of the list.
RECENT, _PAGE = 8, 25
THUMBNAIL_WIDTH: Final = 72
_PAGES: Final = "_history_pages"


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
        session_state.open_page(session_state.HISTORY)
        st.rerun()


def show_history(api: Api) -> None:
    """Show the studies that match a search, newest first, with buttons to open, label and delete each."""
    st.title("Studies")
    search = _search_fields(api)
    found = _pages(api, search)
    if not found.studies:
        st.info("No study matches this search." if search else "There are no studies yet.")
    for study in found.studies:
        _row(api, study)
    if found.next is not None and st.button("Show more", key="more-studies"):
        st.session_state[_PAGES] = (search, _page_count(search) + 1)
        st.rerun()


def _search_fields(api: Api) -> dict[str, Any]:
    """Ask for the conditions of a search; return those that are given, as `Api.studies` takes them."""
    # Two rows: in one, the dates would be cut off on a narrow screen.
    (label, dates), (model, state) = st.columns(2), st.columns(2)
    states = list(State)
    found: dict[str, Any] = {
        "label": label.text_input("Label", key="search-label", max_chars=LABEL_CHARACTERS).strip(),
        "model": model.selectbox(
            "Model", ["", *(item.name for item in api.models())], format_func=_any, key="search-model"
        ),
        "state": state.selectbox("State", ["", *states], format_func=_state_option, key="search-state"),
    }
    no_days: Any = ()  # an empty range, which Streamlit accepts and its types do not
    given: Any = dates.date_input("Accepted from, to", value=no_days, key="search-dates", format="YYYY-MM-DD")
    found["begin"], found["end"] = day_limits(given, browser_zone())
    return {name: value for name, value in found.items() if value}


def _any(value: str) -> str:
    return value or "any"


def _state_option(value: State | str) -> str:
    return STATES[State(value)] if value else "any"


def day_limits(days: Sequence[date], zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Return the beginning of the first day and the end of the last; one day stands for itself, none for all time.

    >>> from datetime import timezone
    >>> begin, end = day_limits([date(2026, 3, 1), date(2026, 3, 2)], timezone.utc)
    >>> begin.isoformat(), end.isoformat()
    ('2026-03-01T00:00:00+00:00', '2026-03-03T00:00:00+00:00')
    """
    if not days:
        return None, None
    last = days[-1] + timedelta(days=1)
    return datetime.combine(days[0], time(), zone), datetime.combine(last, time(), zone)


def _page_count(search: Mapping[str, Any]) -> int:
    """Return how many pages of this search the user requested."""
    known, count = st.session_state.get(_PAGES, (None, 1))
    return int(count) if known == search else 1


def _pages(api: Api, search: Mapping[str, Any]) -> StudyList:
    """Return as many pages of the list as the user requested."""
    listed = api.studies(limit=_PAGE, **search)
    found = list(listed.studies)
    for _ in range(_page_count(search) - 1):
        if listed.next is None:
            break
        listed = api.studies(limit=_PAGE, after=listed.next, **search)
        found += listed.studies
    return StudyList(studies=tuple(found), next=listed.next)


def _row(api: Api, study: StudySummary) -> None:
    with st.container(border=True):
        picture, words, buttons = st.columns([1, 5, 5], vertical_alignment="center")
        with picture:
            _show_thumbnail(api, study)
        label = f"**{plain(study.label)}**  \n" if study.label else ""
        words.markdown(f"{label}{STATE_ICONS[study.state]} {plain(long_words(study))}")
        words.caption(plain(f"{moment_words(study.created_at, browser_zone())}, study {study.id[:8]}"))
        with buttons, st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Open", key=f"open-{study.id}"):
                session_state.open_study(study.id)
                st.rerun()
            with st.popover("Label", icon=":material/label:"):
                _edit_label(api, study)
            with st.popover("Delete", icon=":material/delete:"):
                st.markdown("Images and results are deleted permanently.")
                if st.button("Delete now", key=f"delete-{study.id}", type="primary"):
                    _delete(api, study.id)


def _show_thumbnail(api: Api, study: StudySummary) -> None:
    """Show the small picture of a study; the row stays usable if it cannot be fetched."""
    if study.thumbnail is None:
        return
    with suppress(MetsegError):
        st.image(result_cache.thumbnail(api, study), width=THUMBNAIL_WIDTH)


def _edit_label(api: Api, study: StudySummary) -> None:
    given = st.text_input("Label", study.label, key=f"label-of-{study.id}", max_chars=LABEL_CHARACTERS, help=LABEL_HINT)
    label = checked_label(given)
    if st.button("Save", key=f"save-label-{study.id}", type="primary", disabled=label is None):
        with error_display.told():
            api.set_label(study.id, label or "")
            st.rerun()


def _delete(api: Api, study_id: str) -> None:
    with error_display.told():
        api.delete(study_id)
        session_state.forget_handed(study_id)
        st.rerun()


def outcome_words(study: StudySummary) -> str:
    """Return the outcome of a study in a few words."""
    if study.state == State.DONE:
        return finding_words(study.lesions) if study.lesions else "nothing found"
    return f"{study.progress:.0%}" if study.state == State.RUNNING else STATES[study.state]


def short_words(study: StudySummary) -> str:
    """Return the line of a study in the sidebar, without progress: the sidebar is not redrawn during the analysis."""
    outcome = STATES[study.state] if study.state == State.RUNNING else outcome_words(study)
    return f"{study.label or KINDS[study.kind]}, {outcome}, {ago(study.created_at)}"


def long_words(study: StudySummary) -> str:
    """Return the line of a study in the list: kind, model and outcome."""
    model = f" by {study.model}" if study.model else ""
    why = f": {words_for(study.failure.code).title}" if study.failure else ""
    return f"{KINDS[study.kind]}{model}, {outcome_words(study)}{why}"
