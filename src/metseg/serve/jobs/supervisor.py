"""Run several programs together: start them, restart crashed ones, and end all on Ctrl-C."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metseg.errors import BundleError, LockedError, UsageError
from metseg.serve.bind_address import bind
from metseg.serve.jobs.signals import ended_by_signals

#: Exit statuses of a child for which a restart would not help.
HOPELESS = frozenset({UsageError.exit_status, BundleError.exit_status, LockedError.exit_status})

#: Seconds before a crashed child is restarted: first and longest pause; each crash doubles the pause.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0

#: Seconds after which a child counts as started; its next crash gets the first pause again.
STEADY_S = 60.0

#: Seconds between two checks of the children.
LOOK_EVERY_S = 0.1

#: Linux: option of prctl, PR_SET_PDEATHSIG, for a signal when the parent ends.
_PARENT_DEATH_SIGNAL = 1

Say = Callable[[str], None]


@dataclass(frozen=True)
class Child:
    """One program.

    Args:
        name: prefix of each line of its output.
        command: command line.
        environment: variables added to the present environment.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    """State of a child."""

    child: Child
    process: subprocess.Popen[str] | None = None
    started: float = 0.0
    pause_s: float = field(default_factory=lambda: FIRST_PAUSE_S)
    due: float = 0.0


class Supervisor:
    """Runs child programs until `stop` is called.

    Args:
        children: programs in the order of their start; they end in reverse order.
        grace_s: seconds that they may take to end before they are killed.
        say: receives each line of output; None: lines go to stderr.
    """

    def __init__(self, children: Sequence[Child], *, grace_s: float = 30.0, say: Say | None = None) -> None:
        self._children = [_Running(child) for child in children]
        self._grace_s = grace_s
        self._say = say or _to_stderr
        self._width = max(len(name) for name in ("up", *(child.name for child in children)))
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._readers: list[threading.Thread] = []

    def run(self) -> int:
        """Run until Ctrl-C, SIGTERM or a child that cannot start; end all children and return the exit status."""
        with ended_by_signals(self.stop):
            try:
                status = self._watch()
            finally:
                self._end()
        return status

    def stop(self) -> None:
        """End all children, as Ctrl-C does; a second call kills them at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _watch(self) -> int:
        # Do not wait for the event: the signal handler would need the lock that the wait holds.
        while not self._stop.is_set():
            for running in self._children:
                if running.process is None:
                    self._start_if_due(running)
                    continue
                status = running.process.poll()
                if status is not None and (given_up := self._crashed(running, status)):
                    return given_up
            time.sleep(LOOK_EVERY_S)
        return 0

    def _start_if_due(self, running: _Running) -> None:
        if running.due > time.monotonic():
            return
        child = running.child
        running.process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **child.environment},
            # Ctrl-C in a terminal reaches the whole process group; with separate sessions, children end once, in order.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        running.started = time.monotonic()
        reader = threading.Thread(target=self._copy_lines, args=(child.name, running.process), daemon=True)
        reader.start()
        self._readers = [*(one for one in self._readers if one.is_alive()), reader]

    def _crashed(self, running: _Running, status: int) -> int:
        """Schedule the restart of a child that ended; return its exit status if a restart would not help, else 0."""
        name, how = running.child.name, f"signal {-status}" if status < 0 else f"status {status}"
        running.process = None
        if status in HOPELESS:
            self._line("up", f"{name} ended with {how}; a restart would not help, so all programs end")
            return status
        if time.monotonic() - running.started >= STEADY_S:
            running.pause_s = FIRST_PAUSE_S
        self._line("up", f"{name} ended with {how}; it restarts in {running.pause_s:.0f} s")
        running.due = time.monotonic() + running.pause_s
        running.pause_s = min(2 * running.pause_s, LONGEST_PAUSE_S)
        return 0

    def _end(self) -> None:
        """Ask all children to end, in reverse order, wait, and kill the rest."""
        left = [running.process for running in reversed(self._children) if running.process is not None]
        for process in left:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + self._grace_s
        while any(process.poll() is None for process in left):
            if time.monotonic() > deadline or self._hurry.is_set():
                for process in left:
                    process.kill()
            time.sleep(LOOK_EVERY_S)
        for reader in self._readers:
            reader.join(timeout=1.0)
        self._line("up", "all ended")

    def _copy_lines(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._line(name, line.rstrip("\n"))

    def _line(self, name: str, text: str) -> None:
        self._say(f"{name:<{self._width}} | {text}")


def require_free_port(host: str, port: int, *, what: str, option: str) -> None:
    """Raise if a port is not free, before anything is started.

    Args:
        host: address to listen on.
        port: port number; 0 means any free port.
        what: name of the program that needs it, for the message.
        option: option that sets the port, for the message.
    Raises:
        UsageError: ``usage.port``.
    """
    try:
        bind(host, port).close()
    except OSError as error:
        reasons = {errno.EADDRINUSE: "another program uses it", errno.EACCES: "permission denied"}
        raise UsageError(
            f"{what} cannot listen on port {port} of {host}",
            where=option,
            got=reasons.get(error.errno or 0, error.strerror),
            cure=f"end the other program, or choose another port with {option}",
            code="usage.port",
        ) from None


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


#: Loaded here, because nothing may be imported or locked between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Let the system end this child when its parent is killed."""
    assert _libc is not None
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
