"""``metseg pacs receive`` as a process: with TLS, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metseg.errors import InputError
from metseg.pacs import connect
from metseg.pacs.pacs_errors import PacsError
from metseg.pacs.receiver_state import JobState, ReceiverState
from metseg.pacs.sending import read_outgoing
from metseg.pacs.server_address import TlsFiles


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Return a certificate of 127.0.0.1 that is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is absent")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "site.pem", folder / "site.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    return TlsFiles(certificate, certificate, key)


class Process:
    """A receiver that prints its events.

    Args:
        folder: for what it receives.
        options: further ones.
    """

    def __init__(self, folder: Path, *options: object) -> None:
        rules = folder.parent / "rules.toml"
        rules.write_text('[[rule]]\nmodality = "MR"\n')
        command: list[object] = [
            "-m",
            "metseg",
            "pacs",
            "receive",
            "--port",
            "0",
            "--folder",
            folder,
            "--allow",
            "SCANNER",
        ]
        command += ["--rules", rules, "--server", "dimse://ORTHANC@127.0.0.1:1", "--service", "http://127.0.0.1:1"]
        command += options
        self._process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.port = self.wait_for("listening")["port"]

    def wait_for(self, wanted: str) -> dict[str, Any]:
        """Return the next event of a name."""
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            event: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == wanted:
                return event
        raise AssertionError("".join(said))

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit status."""
        self._process.send_signal(number)
        status = self._process.wait(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(*options: object) -> Process:
        started.append(Process(tmp_path / "in", *options))
        return started[-1]

    yield begin
    for process in started:
        process._process.kill()
        process._process.wait()


def send(address: str, folder: Path, tls: TlsFiles | None = None) -> list[str]:
    objects = [read_outgoing(path) for path in sorted(folder.iterdir())]
    return [reason for _, reason in connect(address, tls).store(objects)]


@pytest.mark.slow
def test_a_killed_receiver_continues_over_tls(
    start: Callable[..., Process], study: Path, tmp_path: Path, certificate: TlsFiles
) -> None:
    options = ["--tls", "--certificate", certificate.certificate, "--key", certificate.key, "--ca-file",
               certificate.authorities, "--quiet"]  # fmt: skip
    process = start(*options, 600)
    address = "dimses://METSEG@127.0.0.1:{}?calling=SCANNER"
    assert send(address.format(process.port), study / "plain", certificate) == [""] * 3
    for tls in (TlsFiles(), TlsFiles(certificate.authorities)):  # does not trust it; has no certificate itself
        with pytest.raises(PacsError):
            connect(address.format(process.port), tls, timeout_s=3).echo()
    with pytest.raises(PacsError):
        connect(f"dimse://METSEG@127.0.0.1:{process.port}?calling=SCANNER", timeout_s=1).echo()
    assert process.end(signal.SIGKILL) == -signal.SIGKILL

    again = start(*options, 0)
    postponed = again.wait_for("postponed")
    assert postponed["code"] == "client.unreachable"
    assert again.end(signal.SIGTERM) == 0
    state = ReceiverState(tmp_path / "in" / "receiver.sqlite")
    (job,) = state.jobs()
    state.close()
    assert (len(job.files), job.state, job.attempts) == (3, JobState.COMPLETE, 1)
    assert job.key == postponed["job"]
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in (tmp_path / "in").rglob("*")} == {0}


def test_a_tls_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("no certificate")
    for tls in (TlsFiles(tmp_path / "absent.pem"), TlsFiles(tmp_path / "a.pem"), TlsFiles(None, tmp_path / "a.pem")):
        with pytest.raises(InputError, match="a TLS file cannot be read"):
            connect("dimses://A@127.0.0.1:1", tls)
        with pytest.raises(InputError, match="a TLS file cannot be read"):
            connect("https://127.0.0.1:1", tls)
