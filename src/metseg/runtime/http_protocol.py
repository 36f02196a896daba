"""HTTP/1.1 of the servers, API and page alike: uvicorn's, with a time limit for the headers of a request."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds from the start of a connection, or from the end of a response, to complete headers of the next request.
HEADER_TIMEOUT_S = 20.0

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class TimedHttpProtocol(H11Protocol):
    """HTTP protocol that closes connections without complete headers.

    uvicorn waits for them without limit: its keep-alive time counts only until the first byte of a request. Clients
    could hold connections, and thus file descriptors, with half a request each.
    """

    header_timeout_s: ClassVar[float] = HEADER_TIMEOUT_S

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request."""
        super().connection_made(transport)
        self._update_timer()

    def data_received(self, data: bytes) -> None:
        """Handle bytes of a request; stop its time limit once the headers are complete."""
        super().data_received(data)
        self._update_timer()

    def on_response_complete(self) -> None:
        """Start the time limit of the next request."""
        super().on_response_complete()
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self._stop_timer()
        super().connection_lost(exc)

    def _update_timer(self) -> None:
        if not self._awaits_headers():
            self._stop_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_timeout_s, self._give_up)

    def _awaits_headers(self) -> bool:
        """Return whether no request is being answered; after an upgrade, the WebSocket owns the transport."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        return not is_answering and not self.transport.is_closing() and self.transport.get_protocol() is self

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if self._awaits_headers():
            self.transport.write(_TOO_SLOW)
            self.transport.close()
