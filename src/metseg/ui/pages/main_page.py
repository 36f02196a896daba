"""The whole page: the sidebar and the main area."""

from __future__ import annotations

import streamlit as st

from metseg.client.service_errors import Refusal
from metseg.errors import MetsegError
from metseg.schemas import Readiness, State
from metseg.ui import error_display, host_check, session_state, theme, upload_access
from metseg.ui.api_client import Api
from metseg.ui.error_messages import explain_error
from metseg.ui.pages.follow_up_list import show_follow_ups
from metseg.ui.pages.follow_up_result import show_follow_up
from metseg.ui.pages.history import RECENT, show_history, show_recent
from metseg.ui.pages.pacs_studies import show_pacs
from metseg.ui.pages.result import show_end, show_result
from metseg.ui.pages.study_progress import show_progress
from metseg.ui.pages.upload import show_upload

_KEY_NEEDED = "request.unauthorised"


def show() -> None:
    """Draw the page."""
    theme.set_up()
    theme.dress()
    api = session_state.api()
    try:
        ready = api.ready()
        host_check.require_local_or_key(api)
        _side(api, ready)
        upload_access.allow()  # the service has just answered with this session's studies
        _middle(api, ready)
    except Refusal as error:
        if error.code == _KEY_NEEDED:
            upload_access.deny()
            _ask_for_key(error)
        else:
            error_display.show(explain_error(error))
    except host_check.RemoteHost as error:
        upload_access.deny()
        st.title("metseg")
        error_display.show(explain_error(error))
    except MetsegError as error:
        _show_down(error)


def _side(api: Api, ready: Readiness) -> None:
    with st.sidebar:
        theme.brand()
        if st.button("New study", key="new-study", icon=":material/add:", width="stretch"):
            if session_state.restored() is not None:
                session_state.end_upload()
            session_state.open_study(None)
            st.rerun()
        show_recent(api.studies(limit=RECENT))
        if st.button("Follow-up over time", key="follow-ups", icon=":material/timeline:", width="stretch"):
            session_state.open_page(session_state.FOLLOW_UPS)
            st.rerun()
        if api.pacs() and st.button("Search the PACS", key="pacs", icon=":material/search:", width="stretch"):
            session_state.open_page(session_state.PACS)
            st.rerun()
        st.caption(service_words(ready))
        if api.key and api.key != api.settings.api_key and st.button("Forget my key", key="forget", type="tertiary"):
            session_state.give_key(None)
            upload_access.deny()
            st.rerun()


def service_words(ready: Readiness) -> str:
    """Return the state of the service in a sentence."""
    if not ready.ready:
        return "The service does not accept studies at the moment."
    if ready.workers == 0:
        return "Studies are accepted, but not analysed: no worker is running."
    waiting = f"{ready.queued} waiting" if ready.queued else "no studies waiting"
    return f"The service is running, {waiting}."


def _middle(api: Api, ready: Readiness) -> None:
    study_id, follow_up_id = session_state.open_study_id(), session_state.open_follow_up_id()
    if study_id is not None:
        _study(api, study_id, ready)
    elif follow_up_id is not None:
        show_follow_up(api, api.stored_follow_up(follow_up_id))
    elif session_state.page_is_open(session_state.FOLLOW_UPS):
        show_follow_ups(api)
    elif session_state.page_is_open(session_state.PACS):
        show_pacs(api)
    elif session_state.page_is_open(session_state.HISTORY):
        show_history(api)
    else:
        show_upload(api)


def _study(api: Api, study_id: str, ready: Readiness) -> None:
    study = api.study(study_id)
    if study.state == State.DONE:
        show_result(api, study)
    elif study.state.is_final:
        show_end(study)
    else:
        st.title("Being analysed" if study.state == State.RUNNING else "Waiting to be analysed")
        if ready.workers == 0:
            st.warning("No worker is running at the moment. The study stays in the queue until one starts.")
        st.caption("You can leave this page. The analysis continues, and the study stays in the list.")
        show_progress(api, study)


def _ask_for_key(error: Refusal) -> None:
    """Ask for a key; it is stored only in the memory of this session."""
    st.title("metseg")
    if session_state.api().key:
        error_display.show(explain_error(error))
    with st.form("key", width=480):
        st.markdown("This service needs an access key.")
        key = st.text_input("Access key", type="password", key="access-key")
        if st.form_submit_button("Continue", type="primary"):
            session_state.give_key(key.strip())
            st.rerun()


def _show_down(error: MetsegError) -> None:
    """Show that the service does not answer, with a button to try again that keeps the state of the page."""
    st.title("metseg")
    error_display.show(explain_error(error))
    if st.button("Try again", key="try-again", type="primary", icon=":material/refresh:"):
        st.rerun()
