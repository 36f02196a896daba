"""Reject requests to the page by host name while no API key exists.

Without a key, the service accepts every request from localhost, and the page sends its requests from there. A remote
user could exploit this when the page listens on a network, and a script of another site by DNS rebinding. So the page
checks the ``Host`` header itself. Once a key exists, the key decides.
"""

from __future__ import annotations

import streamlit as st

from metseg.errors import MetsegError
from metseg.schemas import host_of
from metseg.ui.api_client import Api


class RemoteHost(MetsegError):
    """The ``Host`` of the request is not allowed, and no API key exists that could authenticate it."""

    default_code = "page.elsewhere"


def require_local_or_key(api: Api) -> None:
    """Reject requests from hosts that are not allowed.

    Raises:
        RemoteHost: the host is not allowed, and no API key exists.
        Unreachable: the service does not answer.
    """
    if is_local(requested_host(), api.settings.allowed_hosts) or api.asks_for_a_key():
        return
    raise RemoteHost(
        "the page was opened under a host name that is not allowed, and the service has no API key",
        expected=", ".join(api.settings.allowed_hosts),
        cure="create a key with metseg serve keys add OWNER, or add the host name to METSEG_ALLOWED_HOSTS",
    )


def requested_host() -> str | None:
    """Return the ``Host`` header of the browser's request, with its port; None outside a browser."""
    return st.context.headers.get("Host")


def is_local(called_by: str | None, allowed: tuple[str, ...]) -> bool:
    """Return whether a host is allowed. Browsers always send one, so None is allowed.

    >>> is_local("localhost:8501", ("localhost",)), is_local("evil.example:8501", ("localhost",)), is_local(None, ())
    (True, False, True)
    """
    return called_by is None or host_of(f"//{called_by}") in allowed
