"""Middleware in front of Streamlit: own origin only, uploads only from authorised sessions and within the memory.

Streamlit itself accepts WebSockets and uploads from every port of this machine, files of sessions without a key, and
any number of files at a time.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import psutil
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metseg.schemas import is_own_origin
from metseg.ui import upload_access

#: Times that a file is in memory while it is received: in the temporary folder, which may be in memory, and as bytes.
COPIES: Final = 2
#: Seconds without a byte after which an upload is aborted.
IDLE_S: Final = 30.0
_DRAIN_S: Final = 10.0

#: Streamlit compiles charts in the browser ('unsafe-eval') and has inline scripts and styles; 3D views run in workers.
#: Nothing may be loaded from, or sent to, another server.
CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
#: Headers of every response. Framing is allowed to the page itself, because components are frames of it.
HEADERS: Final = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CORS: Final = b"access-control-"
_UPLOAD: Final = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+")
_READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_POLICY_VIOLATION: Final = 1008


class _Refused(Exception):
    """A refused request.

    Args:
        status: HTTP status.
        text: reason.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def resident_bytes() -> int:
    """Return the memory that this process uses now."""
    return int(psutil.Process().memory_info().rss)


def temporary_bytes() -> int:
    """Return the free space for temporary files, through which Streamlit receives uploads."""
    return shutil.disk_usage(tempfile.gettempdir()).free


@dataclass
class UploadBudget:
    """Limits the memory of uploads. Used only on the event loop, so it needs no lock.

    Args:
        limit_bytes: memory that the process of the page may use.
        used: returns the memory that it uses now.
        temporary: returns the free space for temporary files.
        reserved_bytes: memory promised to uploads that are being received.
    """

    limit_bytes: int
    used: Callable[[], int] = resident_bytes
    temporary: Callable[[], int] = temporary_bytes
    reserved_bytes: int = field(default=0, init=False)

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Reserve room for an upload of `size` bytes; raise if there is too little memory or temporary space."""
        wanted = COPIES * size
        lacks_memory = self.used() + self.reserved_bytes + wanted > self.limit_bytes
        if lacks_memory or self.reserved_bytes // COPIES + size > self.temporary():
            raise _Refused(
                413, "The page has too little memory for this file now. Send it to the API, or try again later."
            )
        self.reserved_bytes += wanted
        try:
            yield
        finally:
            self.reserved_bytes -= wanted


class PageGuard:
    """Wraps Streamlit's application.

    Args:
        app: the wrapped application.
        budget: memory of uploads.
        idle_s: seconds without a byte after which an upload is aborted.
    """

    def __init__(self, app: ASGIApp, budget: UploadBudget, idle_s: float = IDLE_S) -> None:
        self.app = app
        self.budget = budget
        self.idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        else:
            await self.app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if is_own_origin(headers.get("origin"), headers.get("host", "")):
            await self.app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in _READING:
            await self.app(scope, receive, send)
            return
        try:
            await self._upload(scope, receive, send)
        except _Refused as refused:
            await _drain(receive)
            response = PlainTextResponse(refused.text, refused.status, headers={"Connection": "close"})
            await response(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on, or the removal of one. Streamlit has no other route that writes."""
        headers = Headers(scope=scope)
        if not is_own_origin(headers.get("origin"), headers.get("host", "")):
            raise _Refused(403, "Requests from pages of other origins are not allowed.")
        match = _UPLOAD.fullmatch(scope["path"])
        if match is None:
            raise _Refused(405, "This path does not support the method.")
        if not upload_access.is_allowed(match[1]):
            raise _Refused(403, "Enter the access key first.")
        with self.budget.reserve(_size(scope, headers)):
            await self.app(scope, self._timed(receive), send)

    def _timed(self, receive: Receive) -> Receive:
        async def receive_in_time() -> Message:
            try:
                async with asyncio.timeout(self.idle_s):
                    return await receive()
            except TimeoutError:
                raise _Refused(408, f"No byte came for {self.idle_s:g} s.") from None

        return receive_in_time


def _size(scope: Scope, headers: Headers) -> int:
    """Return the announced size of an upload; browsers always send one."""
    if scope["method"] == "DELETE":
        return 0
    announced = headers.get("content-length", "")
    if not announced.isdecimal():
        raise _Refused(411, "The length of the file is required.")
    return int(announced)


async def _drain(receive: Receive) -> None:
    """Discard the rest of a body for some seconds: browsers read the response only after sending all."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while (await receive()).get("more_body", False):
                pass


def _with_headers(send: Send) -> Send:
    """Return a `send` that adds the security headers, and removes permissions for other origins."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [item for item in message.get("headers", ()) if not item[0].lower().startswith(_CORS)]
            message = {**message, "headers": [*own, *HEADERS]}
        await send(message)

    return send_on
