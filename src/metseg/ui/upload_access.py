"""Sessions that may upload files: those that the service let in at the last run of the page.

Streamlit's upload route accepts files of every session, also before the user has entered a key. The page therefore
notes here which sessions are authorised, and `page_guard` asks before it passes a file on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from streamlit.runtime.scriptrunner import get_script_run_ctx

#: Maximum number of sessions. The oldest is forgotten first; its next run of the page authorises it again.
MAX_SESSIONS = 10_000

_lock = threading.Lock()
_allowed: OrderedDict[str, None] = OrderedDict()


def allow() -> None:
    """Let the session of this run of the page upload files."""
    session_id = _session_id()
    if session_id is None:
        return
    with _lock:
        _allowed[session_id] = None
        _allowed.move_to_end(session_id)
        while len(_allowed) > MAX_SESSIONS:
            _allowed.popitem(last=False)


def deny() -> None:
    """Refuse files of the session of this run of the page."""
    with _lock:
        _allowed.pop(_session_id() or "", None)


def is_allowed(session_id: str) -> bool:
    """Return whether a session may upload files."""
    with _lock:
        return session_id in _allowed


def _session_id() -> str | None:
    """Return the id of the session; None outside a run of the page."""
    context = get_script_run_ctx(suppress_warning=True)
    return None if context is None else context.session_id
