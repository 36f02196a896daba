"""Several programs as one: what they print, what happens when one dies, and that all end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metseg.errors import UsageError
from metseg.serve.jobs import supervisor as supervisor_module
from metseg.serve.jobs.supervisor import Child, Supervisor, require_free_port

PATIENCE_S = 20.0

#: Prints a line, then waits to be ended.
WAITS = "import signal; print('ready'); signal.pause()"

#: The same, but will not be ended by SIGTERM.
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready')\nwhile True: signal.pause()"


def python(code: str, name: str = "child") -> Child:
    return Child(name, (sys.executable, "-S", "-c", code))


class Running:
    """A supervisor in a thread, and what it has said."""

    def __init__(self, *children: Child, grace_s: float = PATIENCE_S) -> None:
        self.lines: list[str] = []
        self.status: int | None = None
        self.supervisor = Supervisor(children, grace_s=grace_s, say=self.lines.append)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.status = self.supervisor.run()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.01)

    def wait_for_line(self, text: str, times: int = 1) -> None:
        self.wait_for(lambda: sum(text in line for line in list(self.lines)) >= times)

    def end(self) -> int | None:
        self.supervisor.stop()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        return self.status


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Return a function that starts a supervisor; none outlives its test."""
    started: list[Running] = []

    def make(*children: Child, grace_s: float = PATIENCE_S) -> Running:
        started.append(Running(*children, grace_s=grace_s))
        return started[-1]

    yield make
    for running in started:
        running.supervisor.stop()
        running.supervisor.stop()
        running.thread.join(PATIENCE_S)


def is_alive(number: int) -> bool:
    """Return whether a process runs; one that has ended and was not asked for its status yet does not."""
    try:
        os.kill(number, 0)
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_each_line_says_whose_it_is(start: Callable[..., Running]) -> None:
    running = start(python(WAITS, "api"), python(WAITS.replace("ready", "steady"), "worker"))
    running.wait_for_line("ready")
    running.wait_for_line("steady")
    assert running.end() == 0
    assert "api    | ready" in running.lines
    assert "worker | steady" in running.lines
    assert running.lines[-1] == "up     | all ended"


def test_a_crashed_child_is_started_again(monkeypatch: pytest.MonkeyPatch, start: Callable[..., Running]) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.05)
    crashing = Child("api", (sys.executable, "-S", "-c", "print('here'); raise SystemExit(9)"))
    running = start(crashing, python(WAITS, "worker"))
    running.wait_for_line("here", times=2)
    assert running.end() == 0
    assert any("api ended with status 9; it restarts" in line for line in running.lines)


def test_each_crash_doubles_the_pause() -> None:
    supervisor = Supervisor([python(WAITS)], say=lambda _line: None)
    (running,) = supervisor._children
    pauses = []
    for _ in range(8):
        running.started = time.monotonic()
        assert supervisor._crashed(running, -9) == 0
        pauses.append(round(running.due - time.monotonic()))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    running.started = time.monotonic() - 2 * supervisor_module.STEADY_S
    supervisor._crashed(running, -9)
    assert round(running.due - time.monotonic()) == 1


def test_a_child_that_cannot_start_ends_all(start: Callable[..., Running]) -> None:
    running = start(python(WAITS, "worker"), python("raise SystemExit(2)", "api"))
    running.thread.join(PATIENCE_S)
    assert running.status == 2
    assert running.lines[-1] == "up     | all ended"


def test_a_stubborn_child_is_killed(start: Callable[..., Running]) -> None:
    running = start(python(STUBBORN), grace_s=0.3)
    running.wait_for_line("ready")
    assert running.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes where Linux lists them")
def test_one_ctrl_c_ends_all(tmp_path: Path) -> None:
    """A terminal sends SIGINT; the program ends with 0, and none of its children is left."""
    noted = tmp_path / "children"
    waits = f"import os; open({str(noted)!r}, 'a').write(f'{{os.getpid()}}\\n'); {WAITS}"
    code = (
        "import sys\nfrom metseg.serve.jobs.supervisor import Child, Supervisor\n"
        f"child = (sys.executable, '-S', '-c', {waits!r})\n"
        "sys.exit(Supervisor([Child('one', child), Child('two', child)], grace_s=10).run())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    ready = 0
    for line in process.stderr:
        ready += "ready" in line
        if ready == 2:
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 0
    assert "all ended" in rest
    assert "Traceback" not in rest
    assert [is_alive(int(number)) for number in noted.read_text().split()] == [False, False]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a parent that was killed")
def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom metseg.serve.jobs.supervisor import Child, Supervisor\n"
        f"child = (sys.executable, '-S', '-c', {('import os; print(os.getpid(), flush=True); ' + WAITS)!r})\n"
        "Supervisor([Child('one', child)]).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    number = int(process.stderr.readline().rpartition("|")[2])
    process.kill()
    process.wait(PATIENCE_S)
    process.stderr.close()
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(number):
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.02)


def test_a_port_that_is_taken_is_said_beforehand() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"--port: the API cannot listen on port {port} .* another program"):
            require_free_port("127.0.0.1", port, what="the API", option="--port")
    require_free_port("127.0.0.1", port, what="the API", option="--port")
