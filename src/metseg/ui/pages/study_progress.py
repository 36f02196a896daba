"""Progress of a study that is not finished."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from metseg.errors import MetsegError
from metseg.schemas import Phase, State, Study
from metseg.ui import error_display, page_settings, session_state
from metseg.ui.api_client import Api, Refusal, Unreachable
from metseg.ui.display_text import PHASES, duration_words, plain, with_sequence_names
from metseg.ui.error_messages import explain_error

#: Icons of phases: done, running, to do.
_DONE, _NOW, _LATER = ":material/check_circle:", ":material/pending:", ":material/radio_button_unchecked:"


def show_progress(api: Api, shown: Study) -> None:
    """Show the progress of a study and refresh it until the study is finished."""
    st.fragment(_look, run_every=page_settings.current().poll_s)(api, shown)


def _look(api: Api, shown: Study) -> None:
    try:
        study = api.study(shown.id)
    except Unreachable:
        st.info("The service does not answer at the moment. Your study is safe; this page tries again automatically.")
        return
    except MetsegError as error:
        error_display.show(explain_error(error))
        return
    if study.state != shown.state:
        st.rerun()  # other parts of the page show the state too
    _draw(api, study)


def _draw(api: Api, study: Study) -> None:
    st.progress(study.progress, text=progress_words(study))
    for phase, sign in phase_signs(study):
        weight = "**" if sign == _NOW else ""
        st.markdown(f"{sign} {weight}{PHASES[phase]}{weight}")
    for warning in study.warnings:
        st.warning(plain(with_sequence_names(warning.text)), icon=":material/info:")
    if st.button("Cancel", key=f"cancel-{study.id}", icon=":material/close:"):
        _cancel(api, study.id)


def progress_words(study: Study) -> str:
    """Return the progress of a study as a text."""
    waited = duration_words((datetime.now(UTC) - study.created_at).total_seconds())
    if study.state == State.QUEUED:
        return f"Waiting in the queue for {waited}"
    return f"{PHASES[study.phase]}: {study.progress:.0%}, for {waited}"


def phase_signs(study: Study) -> list[tuple[Phase, str]]:
    """Return each phase with its icon; phases before the current one are done."""
    phases = list(PHASES)
    now = phases.index(study.phase)
    running = study.state == State.RUNNING
    return [
        (phase, _DONE if place < now else _NOW if place == now and running else _LATER)
        for place, phase in enumerate(phases)
    ]


def _cancel(api: Api, study_id: str) -> None:
    try:
        api.cancel(study_id)
    except Refusal as error:
        if error.code != "request.state":  # it finished in the meantime; show its result
            error_display.show(explain_error(error))
            return
    session_state.open_study(study_id)
    st.rerun()
