"""Who may come in while the service asks nobody for a key: whoever calls the page by a name of this machine.

The service lets in what comes from this machine, and to it the page is just that, whoever sits in front of the page:
somebody elsewhere, where the page listens to the network, or a script on a page elsewhere, for which a name was made to
lead to this machine (DNS rebinding). So the page looks at the name itself. As soon as there is a key, the key decides.
"""

from __future__ import annotations

import streamlit as st

from metseg.errors import MetsegError
from metseg.schemas import host_of
from metseg.ui.api_client import Api


class RemoteHost(MetsegError):
    """The page was called by a name that is none of this machine's, and there is no key to ask for."""

    default_code = "page.elsewhere"


def require_local_or_key(api: Api) -> None:
    """Let in whoever may come in.

    Raises:
        Elsewhere: see there.
        Unreachable: the service does not answer.
    """
    if is_local(requested_host(), api.settings.allowed_hosts) or api.asks_for_a_key():
        return
    raise RemoteHost(
        "the page was called by a name that is not this machine's, and the service asks for no key",
        expected=", ".join(api.settings.allowed_hosts),
        cure="make a key with metseg serve keys add OWNER, or add the name to METSEG_ALLOWED_HOSTS",
    )


def requested_host() -> str | None:
    """Return by which name, and port, the browser called the page; None where no browser did."""
    return st.context.headers.get("Host")


def is_local(called_by: str | None, allowed: tuple[str, ...]) -> bool:
    """Return whether a name is one of this machine's. Browsers always say by which name they call.

    >>> is_local("localhost:8501", ("localhost",)), is_local("evil.example:8501", ("localhost",)), is_local(None, ())
    (True, False, True)
    """
    return called_by is None or host_of(f"//{called_by}") in allowed
