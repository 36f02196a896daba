"""The guard before the page: uploads only with access and within the memory, its own origin only, headers, time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from metseg.ui import page_guard, page_server, upload_access
from metseg.ui.page_guard import COPIES, PageGuard, UploadBudget
from metseg.ui.page_server import INCOMING_MIB, MEBIBYTE, UPLOAD_MIB, streamlit_options

STREAM = "/_stcore/stream"
MINE = "http://testserver"
UPLOAD = "/_stcore/upload_file/{session}/file-1"
PATIENCE_S = 120.0


async def accept(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())), headers={"Access-Control-Allow-Origin": "*"})


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def guarded(limit_bytes: int = 10**6, used: int = 0, idle_s: float = 30.0) -> TestClient:
    """Return a client of an application that accepts everything, behind the guard."""
    routes = [
        Route("/_stcore/upload_file/{session}/{file}", accept, methods=["GET", "PUT", "DELETE"]),
        Route("/other", accept, methods=["GET", "POST"]),
        WebSocketRoute("/stream", greet),
    ]
    guard = Middleware(PageGuard, budget=UploadBudget(limit_bytes, used=lambda: used), idle_s=idle_s)
    return TestClient(Starlette(routes=routes, middleware=[guard]))


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the id of a session that may upload."""
    monkeypatch.setattr(upload_access, "_session_id", lambda: "mine")
    upload_access.allow()
    yield "mine"
    upload_access.deny()


def test_only_sessions_with_access_upload(allowed: str) -> None:
    client = guarded()
    assert client.put(UPLOAD.format(session=allowed), content=b"12345").text == "5"
    for session in ("other", "mine%20"):
        assert client.put(UPLOAD.format(session=session), content=b"12345").status_code == 403
    upload_access.deny()
    assert client.put(UPLOAD.format(session=allowed), content=b"12345").status_code == 403
    assert client.delete(UPLOAD.format(session=allowed)).status_code == 403
    assert client.post("/other", content=b"1").status_code == 405


def test_access_is_for_few_sessions_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_access, "MAX_SESSIONS", 2)
    for session in ("one", "two", "three"):
        monkeypatch.setattr(upload_access, "_session_id", lambda session=session: session)
        upload_access.allow()
    assert [upload_access.is_allowed(session) for session in ("one", "two", "three")] == [False, True, True]


def test_files_beyond_the_memory_are_refused_before_they_are_read(allowed: str) -> None:
    url = UPLOAD.format(session=allowed)
    client = guarded(limit_bytes=COPIES * 1000 + 500, used=500)
    assert client.put(url, content=bytes(1000)).status_code == 200
    refused = client.put(url, content=bytes(1001))
    assert (refused.status_code, "memory" in refused.text) == (413, True)
    assert client.put(url, content=iter([b"1", b"2"])).status_code == 411  # a body of unknown length
    assert client.put(url, content=bytes(1000)).status_code == 200  # what was reserved is free again


def test_two_files_at_a_time_share_the_memory() -> None:
    budget = UploadBudget(1000 * COPIES, used=lambda: 0)
    with budget.reserve(600), pytest.raises(Exception, match="too little memory"), budget.reserve(600):
        pass
    assert budget.reserved_bytes == 0


def test_an_upload_that_stands_still_ends(allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_guard, "_DRAIN_S", 0.05)
    sent: list[dict[str, Any]] = []

    async def never() -> dict[str, Any]:
        await asyncio.sleep(PATIENCE_S)
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": UPLOAD.format(session=allowed),
        "headers": [(b"content-length", b"10")],
        "query_string": b"",
    }
    asyncio.run(guarded(idle_s=0.05).app(scope, never, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


def test_pages_of_other_origins_are_refused(allowed: str) -> None:
    client = guarded()
    url = UPLOAD.format(session=allowed)
    assert client.put(url, content=b"1", headers={"Origin": MINE}).status_code == 200
    for origin in ("http://evil.example", "http://testserver:3000", "null", "http://["):
        assert client.put(url, content=b"1", headers={"Origin": origin}).status_code == 403
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/stream", headers={"Origin": origin}):
            pass
    for headers in ({"Origin": MINE}, {}):
        with client.websocket_connect("/stream", headers=headers) as connection:
            assert connection.receive_text() == "hello"


def test_every_answer_has_the_headers(allowed: str) -> None:
    client = guarded()
    for answer in (client.get("/other"), client.put(UPLOAD.format(session="other")), client.get("/nowhere")):
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'self'" in policy
        assert "http" not in policy  # no other server
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers


def test_files_beyond_the_temporary_space_are_refused() -> None:
    budget = UploadBudget(10**9, used=lambda: 0, temporary=lambda: 1000)
    with budget.reserve(600):
        with budget.reserve(400):
            pass
        with pytest.raises(Exception, match="too little memory"), budget.reserve(401):
            pass


def test_the_largest_file_follows_memory_and_temporary_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "temporary_bytes", lambda: 2**50)
    assert streamlit_options("h", 1, 100 * MEBIBYTE)["server_maxUploadSize"] == 100 // COPIES
    assert streamlit_options("h", 1, 2**50)["server_maxUploadSize"] == UPLOAD_MIB
    monkeypatch.setattr(page_server, "temporary_bytes", lambda: 512 * MEBIBYTE)
    assert streamlit_options("h", 1, 2**50)["server_maxUploadSize"] == 512


READY = {"ready": True, "checks": {}, "queued": 0, "running": 0, "workers": 1}
ANSWERS = {"/ready": READY, "/studies": {"studies": []}, "/models": {"models": []}, "/pacs": {"pacs": []}}
PROBLEM = {"type": "x", "title": "x", "status": 401, "detail": "x", "code": "request.unauthorised"}


@contextmanager
def api(*, needs_key: bool) -> Iterator[str]:
    """Serve what the page asks for at its start, with or without a key, and return the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            refuses = needs_key and path != "/ready"
            body = PROBLEM if refuses else ANSWERS[path]
            content = json.dumps(body).encode()
            self.send_response(401 if refuses else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def page_of(address: str, **variables: str) -> Iterator[str]:
    """Start `metseg ui` for an API, wait until it answers, and return its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "metseg", "ui", "--port", str(port), "--api", address]
    process = subprocess.Popen(command, env={**os.environ, **variables})
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                httpx.get(f"http://127.0.0.1:{port}/_stcore/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(PATIENCE_S) in (0, -15)
    finally:
        process.kill()
        process.wait()


@contextmanager
def session_of(page: str) -> Iterator[str]:
    """Open the page as a browser does, wait until it is drawn, and return the id of the session."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    start = BackMsg()
    start.rerun_script.query_string = ""
    url = f"{page.replace('http', 'ws')}{STREAM}"
    with connect(url, subprotocols=["streamlit"], origin=page, max_size=None) as connection:  # type: ignore[list-item,arg-type]
        connection.send(start.SerializeToString())
        session_id = ""
        while True:
            message = ForwardMsg.FromString(connection.recv(timeout=PATIENCE_S))  # type: ignore[arg-type]
            if message.WhichOneof("type") == "new_session":
                session_id = message.new_session.initialize.session_id
            if message.WhichOneof("type") == "script_finished":
                break
        yield session_id


def upload(page: str, session_id: str, size: int = 10) -> httpx.Response:
    """Upload a file as Streamlit's script in a browser does."""
    with httpx.Client(base_url=page, timeout=PATIENCE_S) as client:
        token = client.get("/_stcore/health").cookies["_streamlit_xsrf"]
        return client.put(
            UPLOAD.format(session=session_id),
            files={"file": ("a.nii", bytes(size))},
            headers={"X-Xsrftoken": token, "Origin": page},
        )


def send_message(page: str, size: int) -> None:
    """Send a message as a browser does, and wait for an answer."""
    with connect(f"{page.replace('http', 'ws')}{STREAM}") as connection:
        connection.send(bytes(size))
        connection.recv(timeout=PATIENCE_S)


@pytest.mark.slow
def test_the_page_takes_no_file_before_the_key() -> None:
    with api(needs_key=True) as address, page_of(address) as page, session_of(page) as session_id:
        assert upload(page, session_id).status_code == 403
    with (
        api(needs_key=False) as address,
        page_of(address, METSEG_PAGE_MEMORY_BYTES=str(2**30)) as page,
        session_of(page) as session_id,
    ):
        assert upload(page, session_id).status_code == 204
        assert upload(page, session_id, 2**29).status_code == 413
        assert upload(page, "another-session").status_code == 403
        with pytest.raises(ConnectionClosedError, match="1009"):
            send_message(page, INCOMING_MIB * MEBIBYTE + 1)
        headers = httpx.get(page).headers
        assert re.search("frame-ancestors 'self'", headers["content-security-policy"])
