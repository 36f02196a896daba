"""A real server on a real socket: slow and vanishing clients, many at once, and its process from start to end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import uvicorn

from metseg.errors import UsageError
from metseg.runtime.http_protocol import TimedHttpProtocol
from metseg.serve.service_context import Service

from .running import served

Start = Callable[..., tuple[str, int, Service]]
#: How long anything here may take before the test gives up.
PATIENCE_S = 30.0


class Impatient(TimedHttpProtocol):
    """The servers' protocol, with less patience for headers."""

    header_timeout_s = 1.0


@pytest.fixture
def start(make_client: Callable[..., Any]) -> Iterator[Start]:
    """Return a function that serves on a free port and gives host, port and service."""
    with ExitStack() as stack:

        def run(**changes: Any) -> tuple[str, int, Service]:
            app = make_client(**changes).app
            url = stack.enter_context(served(app, http=Impatient))
            return "127.0.0.1", int(url.rpartition(":")[2]), app.state.service

        yield run


def wait_until(true: Callable[[], object]) -> float:
    """Wait until something is true, and return how long that took."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < PATIENCE_S
        time.sleep(0.01)
    return time.monotonic() - begin


def begin_upload(host: str, port: int, announced: int = 10**6, sent: int = 10_000) -> socket.socket:
    """Begin an upload of which only some bytes are sent, and return its socket."""
    connection = socket.create_connection((host, port), timeout=PATIENCE_S)
    head = (
        f"POST /studies HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {announced}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    part = b'--x\r\nContent-Disposition: form-data; name="t1c"; filename="a.nii"\r\n\r\n'
    connection.sendall(head.encode() + part + bytes(sent))
    return connection


def read_all(connection: socket.socket) -> str:
    """Return what the server sends until it closes the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received.decode()


def read_until_closed(connection: socket.socket) -> str:
    """Return what the server sends until it closes the connection, also by a reset because of bytes in flight."""
    received = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received.decode()


def test_43_a_slow_upload_ends_and_others_go_on(start: Start, make: SimpleNamespace) -> None:
    host, port, service = start(upload_idle_s=1.0)
    with begin_upload(host, port) as slow, httpx.Client(base_url=f"http://{host}:{port}") as client:
        wait_until(lambda: any(service.folders.incoming.iterdir()))
        files = {"t1c": ("a.nii.gz", make.nifti())}
        assert client.post("/studies", files=files, data={"model": "bright-t1c"}).status_code == 202
        answer = read_all(slow)
    assert answer.startswith("HTTP/1.1 408")
    assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "request.timeout"
    wait_until(lambda: not any(service.folders.incoming.iterdir()))


@pytest.mark.parametrize("call", ["PATCH /studies/{id}", "POST /studies/{id}/versions"])
def test_43_a_slow_json_body_ends(start: Start, call: str) -> None:
    host, port, _ = start(upload_idle_s=1.0)
    head = f"{call.format(id='a' * 32)} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100\r\n"
    with socket.create_connection((host, port), timeout=PATIENCE_S) as slow:
        slow.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        assert read_all(slow).startswith("HTTP/1.1 408")


def test_43_a_deadline_for_the_whole(start: Start) -> None:
    """Bytes that keep coming, one by one, do not keep an upload alive."""
    host, port, service = start(upload_idle_s=PATIENCE_S, upload_deadline_s=1.0)
    stop = threading.Event()
    with begin_upload(host, port) as slow:
        wait_until(lambda: any(service.folders.incoming.iterdir()))

        def drip() -> None:
            with suppress(OSError):  # the server has closed the connection
                while not stop.wait(0.1):
                    slow.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        wait_until(lambda: not any(service.folders.incoming.iterdir()))
        wait_until(lambda: service.gate.inside == 0)
        stop.set()
        dripping.join()


def test_44_a_client_that_goes_leaves_nothing(start: Start) -> None:
    host, port, service = start()
    connection = begin_upload(host, port, sent=10**5)
    wait_until(lambda: any(service.folders.incoming.iterdir()))
    connection.close()
    assert wait_until(lambda: not any(service.folders.incoming.iterdir())) < 5
    wait_until(lambda: service.gate.inside == 0)


def test_44_after_the_answer_the_study_is_there(start: Start, make: SimpleNamespace) -> None:
    host, port, service = start()
    with httpx.Client(base_url=f"http://{host}:{port}") as client:
        study_id = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}).json()["id"]
    with httpx.Client(base_url=f"http://{host}:{port}") as client:
        assert client.get(f"/studies/{study_id}").json()["state"] == "queued"
        assert client.delete(f"/studies/{study_id}").status_code == 204
    assert not service.folders.study(study_id).root.exists()


@pytest.mark.parametrize("before", ["", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_half_sent_headers_end(start: Start, before: str) -> None:
    """Neither silence nor single bytes keep a connection open, at the first request and at a later one."""
    host, port, _ = start()
    with socket.create_connection((host, port), timeout=PATIENCE_S) as half:
        half.sendall(before.encode())
        if before:
            assert half.recv(65536).startswith(b"HTTP/1.1 200")
        half.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-")
        stop = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not stop.wait(0.1):
                    half.sendall(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = read_until_closed(half)  # times out where the server does not close
        stop.set()
        dripping.join()
    assert "HTTP/1.1 200" not in answer


def test_a_complete_request_may_take_longer_than_its_headers(start: Start) -> None:
    host, port, _ = start()
    with begin_upload(host, port) as slow:
        slow.settimeout(2 * Impatient.header_timeout_s)
        with pytest.raises(TimeoutError):
            slow.recv(1)


def test_the_command_serves_with_time_limits(
    home: Path, run_metseg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, plain_logs: None
) -> None:
    configured: list[Any] = []

    class Pretends:
        started = True

        def __init__(self, config: uvicorn.Config) -> None:
            configured.append(config.http)

        def run(self, sockets: list[socket.socket]) -> None:
            sockets[0].close()

    monkeypatch.setattr(uvicorn, "Server", Pretends)
    assert run_metseg("serve", "--port", "0").status == 0
    assert configured == [TimedHttpProtocol]


def test_many_uploads_at_once_are_accepted_or_told_to_wait(start: Start, make: SimpleNamespace) -> None:
    host, port, service = start(queue_limit=6, uploads_at_once=3)
    files = {"t1c": ("a.nii", make.nifti(np.zeros((64, 64, 256), dtype=np.int16), packed=False))}
    memory = psutil.Process().memory_info().rss

    def upload(_number: int) -> httpx.Response:
        data = {"model": "bright-t1c"}
        return httpx.post(f"http://{host}:{port}/studies", files=files, data=data, timeout=PATIENCE_S)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(upload, range(32)))
    assert {answer.status_code for answer in answers} <= {202, 503}
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert 1 <= len(set(accepted)) == len(accepted) <= 6
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert psutil.Process().memory_info().rss - memory < 200 * 2**20
    assert not any(service.folders.incoming.iterdir())


def test_a_large_refused_body_does_not_break_the_connection(start: Start) -> None:
    """A client that only listens when all is sent must hear why."""
    host, port, _ = start(queue_limit=1, upload_max_bytes=10**6)
    response = httpx.post(
        f"http://{host}:{port}/studies", files={"files": ("a", bytes(20 * 2**20))}, timeout=PATIENCE_S
    )
    assert (response.status_code, response.json()["code"]) == (413, "request.too_large")


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end(home: Path) -> None:
    command = [sys.executable, "-m", "metseg", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert address is not None
        assert httpx.get(f"{address[0]}/health", timeout=PATIENCE_S).json()["status"] == "ok"
        assert httpx.get(f"{address[0]}/ready", timeout=PATIENCE_S).json()["ready"] is True
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
        wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))
    finally:
        process.kill()
        process.communicate()
    assert (home / "service.sqlite").is_file()


Run = Callable[..., Any]


@pytest.fixture
def plain_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logs of the tests as they are."""
    monkeypatch.setattr("metseg.serve.log_redaction.configure_logs", lambda _level: None)


def test_keys_on_the_command_line(run_metseg: Run, home: Path) -> None:
    assert run_metseg("serve", "keys", "list").out.startswith("no keys")
    added = run_metseg("serve", "keys", "add", "ward-7", "--scope", "read", "--scope", "predict", "--json")
    key = json.loads(added.out)["key"]
    (listed,) = json.loads(run_metseg("serve", "keys", "list", "--json").out)
    assert (listed["owner"], listed["scopes"], listed["revoked_at"]) == ("ward-7", ["predict", "read"], None)
    assert key.split("_")[1] == listed["id"]
    assert key.split("_", 2)[2] not in run_metseg("serve", "keys", "list").out
    assert run_metseg("serve", "keys", "revoke", listed["id"]).status == 0
    assert "revoked" in run_metseg("serve", "keys", "list").out
    wrong = run_metseg("serve", "keys", "revoke", "000000000000")
    assert (wrong.status, wrong.err.count("\n")) == (UsageError.exit_status, 1)
    assert run_metseg("serve", "keys", "add", "Ward 7").status == 2


def test_the_audit_log_on_the_command_line(run_metseg: Run, home: Path) -> None:
    run_metseg("serve", "keys", "add", "ward-7")
    facts = json.loads(run_metseg("serve", "audit", "--json").out)
    assert facts["entries"] == 1
    assert run_metseg("serve", "audit", "--contains", facts["head"]).status == 0
    missing = run_metseg("serve", "audit", "--contains", "0" * 64)
    assert (missing.status, "audit log" in missing.err) == (3, True)


def test_beyond_loopback_only_with_a_key(
    run_metseg: Run, home: Path, monkeypatch: pytest.MonkeyPatch, plain_logs: None
) -> None:
    for host in ("0.0.0.0", "127.0.0.1.example.org"):  # a name may stand for any address
        refused = run_metseg("serve", "--host", host, "--port", "0")
        assert (refused.status, "metseg serve keys add" in refused.err) == (2, True)
    served: list[str] = []
    monkeypatch.setattr("metseg.cli.serve._run", lambda _app, settings, listener: served.append(settings.host))
    run_metseg("serve", "keys", "add", "ward-7")
    assert run_metseg("serve", "--host", "0.0.0.0", "--port", "0").status == 0
    assert served == ["0.0.0.0"]


def test_a_taken_port_is_said(run_metseg: Run, home: Path, plain_logs: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run_metseg("serve", "--port", taken.getsockname()[1])
    assert (refused.status, "stop the program that uses the port" in refused.err) == (2, True)
