"""The server of the page: Streamlit's application behind `page_guard`, with time limits for requests."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.middleware import Middleware
from streamlit import net_util
from streamlit.starlette import App
from streamlit.web import bootstrap

from metseg.ui.page_guard import COPIES, PageGuard, UploadBudget, temporary_bytes
from metseg.ui.theme import OPTIONS

MEBIBYTE: Final = 2**20
#: Largest file of an upload in MiB, where the memory allows; the service has its own limits.
UPLOAD_MIB: Final = 2048
#: Largest message to the browser in MiB: a large volume for the viewer.
MESSAGE_MIB: Final = 512
#: Largest message from the browser in MiB: the state of all controls, with names of thousands of files. Anyone may send
#: messages, also without a key.
INCOMING_MIB: Final = 8
#: Connections at a time; further ones get status 503. Each may hold one incoming message.
CONNECTIONS: Final = 256
#: Streamlit runs this script for each session. It is not imported here: its components register with a running server.
_SCRIPT: Final = Path(__file__).with_name("app.py")
#: Seconds between two signs of life of an open page.
_PING_S: Final = 30.0
#: Seconds that responses in progress may still take at shutdown.
_GRACE_S: Final = 5


def streamlit_options(host: str, port: int, memory_bytes: int) -> dict[str, Any]:
    """Return Streamlit's options by the names of its flags, as `load_config_options` takes them.

    Args:
        host: address to listen on.
        port: port to listen on.
        memory_bytes: memory that the process of the page may use.
    """
    options = {
        **OPTIONS,
        "server.address": host,
        "server.port": port,
        "server.maxUploadSize": largest_upload_mib(memory_bytes),
        "server.maxMessageSize": MESSAGE_MIB,
        "server.maxWidgetStateSize": INCOMING_MIB,
        # Given here, so that no file or variable of Streamlit's can weaken them; `PageGuard` is stricter still.
        "server.enableCORS": True,
        "server.corsAllowedOrigins": [],
        "server.enableXsrfProtection": True,
        "server.xsrfCookieSameSite": "strict",
        "server.enableAgentApi": False,
    }
    return {name.replace(".", "_"): value for name, value in options.items()}


def largest_upload_mib(memory_bytes: int) -> int:
    """Return the largest file that an upload may have in MiB; Streamlit shows it beside the control."""
    return max(1, min(UPLOAD_MIB, memory_bytes // COPIES // MEBIBYTE, temporary_bytes() // MEBIBYTE))


def run_page(listener: socket.socket, memory_bytes: int, http: type[asyncio.Protocol]) -> None:
    """Serve the page until SIGTERM or Ctrl-C.

    Args:
        listener: bound socket.
        memory_bytes: memory that the process of the page may use; further uploads are refused.
        http: HTTP protocol with time limits.
    """
    host, port = listener.getsockname()[:2]
    bootstrap.load_config_options(flag_options=streamlit_options(host, port, memory_bytes))
    _keep_address_private()
    guard = Middleware(PageGuard, budget=UploadBudget(memory_bytes))
    config = uvicorn.Config(
        App(_SCRIPT, middleware=[guard]),
        http=http,
        ws="websockets-sansio",
        ws_max_size=INCOMING_MIB * MEBIBYTE,
        limit_concurrency=CONNECTIONS,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _keep_address_private() -> None:
    """Keep Streamlit from asking a server on the internet for this machine's public address.

    It asks at each connection from another origin.
    """
    net_util._external_ip = ""
