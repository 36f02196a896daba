"""Middleware around every request: request id, log line, metrics, responses to HEAD and to unexpected errors."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metseg.serve.http.error_handlers import unexpected_error
from metseg.serve.prometheus_metrics import ServiceMetrics

#: Key of the request's state: the client asks for the headers only (HEAD).
ASKED_HEAD: Final = "asked_head"
#: Headers of every response. Nothing of the API is meant for a frame.
_HEADERS: Final = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-site"),
)
#: Policy of responses without one of their own: a browser that shows them loads nothing and runs nothing.
_POLICY_NAME: Final = b"content-security-policy"
_POLICY: Final = (_POLICY_NAME, b"default-src 'none'; frame-ancestors 'none'")
#: From this status on, the body of the request may not have been read.
_REFUSED: Final = 400
_DRAIN_BYTES: Final = 64 * 2**20
_DRAIN_S: Final = 10.0
#: Labels for unknown routes and methods, because the requested ones may contain anything.
_NOWHERE: Final = "none"
_OTHER: Final = "-"
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

_log = logging.getLogger(__name__)


class _Body:
    """Body of a request; records whether all of it was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._over = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Discard the rest of the body, within limits: many clients read the response only after sending all."""
        left = _DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while not self._over and left > 0:
                    left -= len((await self.receive()).get("body", b""))


class HeadMiddleware:
    """Answers HEAD as GET without the body, on every path.

    Args:
        app: the wrapped application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body"})

        # Changed in place and not in a copy: the caller reads the route from the scope afterwards.
        scope["method"] = "GET"
        scope["state"][ASKED_HEAD] = True
        try:
            await self.app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"


class RequestMiddleware:
    """Wraps the application.

    Args:
        app: the wrapped application.
        measures: metrics that count each response.
    """

    def __init__(self, app: ASGIApp, measures: ServiceMetrics) -> None:
        self.app = app
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        body = _Body(receive)
        status, begin = 0, time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= _REFUSED and (b"connection", b"close") not in message["headers"]:
                    await body.drain()
                has_policy = any(name.lower() == _POLICY_NAME for name, _ in message["headers"])
                added = _HEADERS if has_policy else (*_HEADERS, _POLICY)
                message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, body.receive, send_on)
        except Exception:
            _log.exception("request %s failed", request_id)
            if status:
                raise  # part of the response is sent: only closing the connection is left
            await unexpected_error(Request(scope))(scope, body.receive, send_on)
        finally:
            self._note(scope, status, time.perf_counter() - begin)

    def _note(self, scope: Scope, status: int, elapsed_s: float) -> None:
        route = getattr(scope.get("route"), "path", _NOWHERE)
        method = scope["method"] if route != _NOWHERE and scope["method"] in _METHODS else _OTHER
        self.measures.answered(method, route, status, elapsed_s)
        request_id = scope["state"]["request_id"]
        _log.info("%s %s %s %d %.0f ms", request_id, method, route.replace("/", " ").strip(), status, 1000 * elapsed_s)
