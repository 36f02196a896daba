"""The whole service as people start it: ``metseg up``, in processes of its own, with all that these say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

#: How long anything may take that a test waits for; a machine that runs all tests at once is slow.
PATIENCE_S = 240.0

FINAL = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Running:
    """A service that runs.

    Args:
        url: of the API.
        page_url: of the page, if there is one.
        home: its folder.
        log: file with all that its processes said.
        process: the one that keeps the others.
    """

    url: str
    page_url: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something holds; a service that has ended meanwhile fails the test at once."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"ended while waiting: {what}\n{self.said()}"
            assert time.monotonic() < deadline, f"waited too long: {what}\n{self.said()}"
            time.sleep(0.1)

    def wait_until_over(self, study_url: str, **headers: str) -> dict[str, object]:
        """Wait until a study has ended, and return it."""
        found: dict[str, object] = {}

        def is_over() -> bool:
            found.update(httpx.get(f"{self.url}{study_url}", headers=headers, timeout=PATIENCE_S).json())
            return found["state"] in FINAL

        self.wait_for(is_over, f"{study_url} has ended")
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def metseg_up(home: Path, *, page: bool = False, **environment: str) -> Iterator[Running]:
    """Start the service in a folder, wait until it is ready, and end it as Ctrl-C does.

    Args:
        home: of the service; what it says goes into a file beside it.
        page: start the page too.
        environment: settings, added to ours.
    """
    port, page_port = free_port(), free_port()
    ports = ["--port", str(port), "--page-port", str(page_port)]
    command = [sys.executable, "-m", "metseg", "up", *ports, "--page" if page else "--no-page"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("METSEG_")}
    # A worker that is nice would not get to start on a machine that runs all tests at once.
    usual = {"METSEG_HOME": str(home), "METSEG_POLL_S": "0.2", "METSEG_WORKER_NICE": "0"}
    variables = {**inherited, **usual, **environment}
    log = home.parent / f"{home.name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=variables, stdout=said, stderr=said)
    running = Running(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page_port}", home, log, process)
    try:
        running.wait_for(lambda: _is_ready(running.url), "the API is ready, and a worker is there")
        if page:
            running.wait_for(lambda: _answers(f"{running.page_url}/_stcore/health"), "the page is there")
        yield running
    finally:
        _end(process)


@contextmanager
def served(app: Any, **config: Any) -> Iterator[str]:
    """Serve an application in a thread of this process, on a free port, and give its URL.

    Args:
        app: the application.
        config: of uvicorn.
    """
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, **config))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not server.started:
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def _is_ready(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/ready", timeout=10)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.json()["workers"] >= 1


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
