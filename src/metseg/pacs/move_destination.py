"""The destination of a C-MOVE: a storage SCP that lives while a PACS sends the objects that were asked for."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt

from metseg.errors import ResourceError


@contextmanager
def move_destination(
    title: str,
    port: int,
    sender: str,
    contexts: Sequence[tuple[UID, Sequence[UID]]],
    receive: Callable[[Any], int],
    *,
    timeout_s: float,
    tls: ssl.SSLContext | None,
) -> Iterator[None]:
    """Receive objects until the end of the block.

    Args:
        title: own title, under which the PACS knows this machine and port.
        port: to listen on, at all addresses of this machine: the PACS connects to it.
        sender: title of the PACS; others are rejected.
        contexts: SOP classes with their transfer syntaxes.
        receive: handles a C-STORE, and returns its status.
        timeout_s: seconds after which a silent association ends.
        tls: settings of a TLS server; None: without TLS.
    Raises:
        ResourceError: the port cannot be opened.
    """
    entity = AE(title)
    entity.require_called_aet = True
    entity.require_calling_aet = [sender]
    entity.network_timeout = entity.dimse_timeout = timeout_s
    for uid, syntaxes in contexts:
        entity.add_supported_context(uid, list(syntaxes))
    try:
        server = entity.start_server(
            ("", port), block=False, evt_handlers=[(evt.EVT_C_STORE, receive)], ssl_context=tls
        )
    except OSError as error:
        raise ResourceError(
            "the port for C-MOVE cannot be opened",
            where=f"port {port}",
            got=error.strerror,
            cure="choose another port in the address (move=PORT), and enter it in the PACS",
            code="resources.port",
        ) from None
    assert server is not None  # None is of servers that block
    try:
        yield
    finally:
        server.shutdown()
