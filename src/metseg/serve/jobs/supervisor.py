"""Several programs run as one: started together, restarted where one crashed, and all ended by one Ctrl-C."""

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

#: What a child ends with when starting it again would change nothing.
HOPELESS = frozenset({UsageError.exit_status, BundleError.exit_status, LockedError.exit_status})

#: Seconds before a crashed child is started again: the first, and the most; each crash doubles them.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0

#: A child that ran for so long had started well: its next crash is a first one.
STEADY_S = 60.0

#: How often the children are looked at.
LOOK_EVERY_S = 0.1

#: Linux: the signal that a process gets when its parent is gone.
_PARENT_DEATH_SIGNAL = 1

Say = Callable[[str], None]


@dataclass(frozen=True)
class Child:
    """One program.

    Args:
        name: stands before each line that it prints.
        command: its command line.
        environment: variables added to our own.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    """A child and what is known of its runs."""

    child: Child
    process: subprocess.Popen[str] | None = None
    started: float = 0.0
    pause_s: float = field(default_factory=lambda: FIRST_PAUSE_S)
    due: float = 0.0


class Supervisor:
    """Runs children until it is told to end.

    Args:
        children: started in this order, ended in the reverse one.
        grace_s: how long they may take to end before they are killed.
        say: what becomes of each line, theirs and ours; None: it goes to stderr.
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
        """Run until Ctrl-C, SIGTERM or a hopeless child, end everything, and return the exit status."""
        with ended_by_signals(self.stop):
            try:
                status = self._watch()
            finally:
                self._end()
        return status

    def stop(self) -> None:
        """End everything, as Ctrl-C does; asked a second time, at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _watch(self) -> int:
        # Not by waiting for the event: its lock would be ours when a signal comes, whose handler wants it too.
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
            # A terminal's Ctrl-C reaches its whole group; children of other sessions are ended by us, once, in order.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        running.started = time.monotonic()
        reader = threading.Thread(target=self._copy_lines, args=(child.name, running.process), daemon=True)
        reader.start()
        self._readers = [*(one for one in self._readers if one.is_alive()), reader]

    def _crashed(self, running: _Running, status: int) -> int:
        """Plan the next start of a child that ended by itself; return the status to end with where there is none."""
        name, how = running.child.name, f"signal {-status}" if status < 0 else f"status {status}"
        running.process = None
        if status in HOPELESS:
            self._line("up", f"{name} ended with {how}; starting it again would not help: all end")
            return status
        if time.monotonic() - running.started >= STEADY_S:
            running.pause_s = FIRST_PAUSE_S
        self._line("up", f"{name} ended with {how}; it starts again in {running.pause_s:.0f} s")
        running.due = time.monotonic() + running.pause_s
        running.pause_s = min(2 * running.pause_s, LONGEST_PAUSE_S)
        return 0

    def _end(self) -> None:
        """Ask every child to end, one after another in reverse, wait, and kill what is left."""
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
    """Refuse a port that another program listens on, before anything is started.

    Args:
        host: address to listen on.
        port: 0 means any, and is always free.
        what: who wants it, for the message.
        option: how another is chosen, for the message.
    Raises:
        UsageError: ``usage.port``.
    """
    try:
        bind(host, port).close()
    except OSError as error:
        reasons = {errno.EADDRINUSE: "another program listens there", errno.EACCES: "it needs more rights"}
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


#: Looked up here, for nothing may be imported or locked between fork and exec.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Have the system end a child whose parent was killed and could not end it."""
    assert _libc is not None
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
