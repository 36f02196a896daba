"""State of one session: API client, open study, last upload and selected lesion."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Final

import streamlit as st

from metseg.client.service_api import Part
from metseg.schemas import Options
from metseg.ui import page_settings
from metseg.ui.api_client import Api
from metseg.ui.upload_selection import ChosenFile

_ID: Final = re.compile("[0-9a-f]{32}")
_STUDY, _FOLLOW_UP, _PAGE = "study", "follow-up", "page"
HISTORY, FOLLOW_UPS, PACS = "studies", "follow-ups", "pacs"
_API, _KEY, _HANDED, _UPLOAD, _RESTORED = "_api", "_key", "_handed", "_upload", "_restored"


@dataclass(frozen=True)
class Handed:
    """The files of the last upload, kept for another analysis with other sequences or another model.

    Args:
        study_ids: the studies of the upload, one for each model.
        parts: the files as sent.
        files: the files as chosen, with their sequences; those that were not sent too.
        options: as sent with the first study.
        label: of the studies.
    """

    study_ids: tuple[str, ...]
    parts: tuple[Part, ...]
    files: tuple[ChosenFile, ...]
    options: Options
    label: str = ""


def api() -> Api:
    """Return the API client of this session; a new one if settings or key have changed."""
    wanted, key = page_settings.current(), st.session_state.get(_KEY)
    known = st.session_state.get(_API)
    if not isinstance(known, Api) or known.settings != wanted or known.key != (key or wanted.api_key):
        known = Api(wanted, key)
        st.session_state[_API] = known
    return known


def give_key(key: str | None) -> None:
    """Set the API key for this session; None removes it."""
    st.session_state[_KEY] = key or None


def open_study_id() -> str | None:
    """Return the id of the open study, from the query parameters of the page."""
    found = st.query_params.get(_STUDY, "")
    return found if _ID.fullmatch(found) else None


def open_study(study_id: str | None) -> None:
    """Open a study; None: open the page for a new one."""
    st.query_params.clear()
    if study_id is not None:
        st.query_params[_STUDY] = study_id


def open_page(name: str) -> None:
    """Open one of the pages `HISTORY`, `FOLLOW_UPS` and `PACS`."""
    st.query_params.clear()
    st.query_params[_PAGE] = name


def page_is_open(name: str) -> bool:
    return st.query_params.get(_PAGE) == name


def open_follow_up_id() -> str | None:
    """Return the id of the open follow-up, from the query parameters of the page."""
    found = st.query_params.get(_FOLLOW_UP, "")
    return found if _ID.fullmatch(found) else None


def open_follow_up(follow_up_id: str) -> None:
    """Open a follow-up."""
    st.query_params.clear()
    st.query_params[_FOLLOW_UP] = follow_up_id


def upload_round() -> int:
    """Return a number that changes after each upload, so that the next starts with empty fields."""
    return int(st.session_state.get(_UPLOAD, 0))


def end_upload() -> None:
    """Start the next upload with empty fields."""
    st.session_state[_UPLOAD] = upload_round() + 1
    st.session_state.pop(_RESTORED, None)


def upload_key() -> str:
    """Return the idempotency key of this upload, so that sending it again makes no second study."""
    name = f"_upload_key_{upload_round()}"
    return str(st.session_state.setdefault(name, uuid.uuid4().hex))


def remember_handed(handed: Handed) -> None:
    """Keep the files of the last upload instead of those of the one before."""
    st.session_state[_HANDED] = handed


def handed(study_id: str) -> Handed | None:
    """Return the files of a study if they belong to the last upload; else None."""
    found = st.session_state.get(_HANDED)
    return found if isinstance(found, Handed) and study_id in found.study_ids else None


def restore(handed: Handed) -> None:
    """Open the page for a new study with the files of an earlier one, and with what was chosen for them."""
    end_upload()
    st.session_state[_RESTORED] = (upload_round(), handed)
    open_study(None)


def restored() -> Handed | None:
    """Return the earlier upload that the page for a new study starts with; None: it starts empty."""
    run, found = st.session_state.get(_RESTORED, (None, None))
    return found if run == upload_round() and isinstance(found, Handed) else None


def forget_handed(study_id: str) -> None:
    """Remove the kept files of a study that was deleted."""
    if handed(study_id) is not None:
        del st.session_state[_HANDED]


def lesion_key(study_id: str) -> str:
    """Return the session key of the selected lesion."""
    return f"lesion-{study_id}"


def selected_lesion(study_id: str) -> int | None:
    """Return the number of the selected lesion."""
    found = st.session_state.get(lesion_key(study_id))
    return found if isinstance(found, int) else None


def select_lesion(study_id: str, number: int | None) -> None:
    """Select a lesion; None: select none."""
    st.session_state[lesion_key(study_id)] = number
