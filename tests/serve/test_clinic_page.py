"""The commands that docs/clinic.md prints work as they stand there, against a real Orthanc.

Only what differs on every site is replaced: the address of the PACS, the UID of the study, and ports.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom")

from metseg.pacs import StudyQuery, connect, send_files

from . import running

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "clinic.md").read_text("utf-8")
BLOCKS = [block for block in re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)]
PRINTED = "dimse://ORTHANC@pacs.example.org:4242?calling=METSEG"


def block(mark: str) -> list[str]:
    """Return the commands of the one block that holds some words."""
    (found,) = (text for text in BLOCKS if mark in text)
    return [line.strip() for line in found.splitlines()]


@pytest.fixture
def site(tmp_path: Path, bundle_store: Path) -> Iterator[SimpleNamespace]:
    """Return a folder, an Orthanc with a study of January 2026, and ports."""
    module = runpy.run_path(str(TESTS / "pacs" / "orthanc.py"))
    if reason := module["missing_programs"]():
        pytest.skip(reason)
    scanner = SimpleNamespace(**runpy.run_path(str(TESTS / "io" / "dicom" / "scanner.py")))
    port = module["free_port"]()
    server = module["Orthanc"](tmp_path / "orthanc", {"METSEG": port})
    server.start()
    stored = np.zeros((6, 24, 20), dtype=np.uint16)
    stored[:, 2:22, 2:18], stored[2:5, 5:8, 4:7] = 100, 300
    described = {
        "SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4, "StudyID": "1",
        "StudyDescription": "MR Brain", "StudyDate": "20260114",
    }  # fmt: skip
    send_files(connect(server.web), scanner.write(tmp_path / "scan", scanner.slices(stored, **described)))
    shutil.copytree(bundle_store, tmp_path / "home" / "bundles")
    yield SimpleNamespace(folder=tmp_path, server=server, port=port, uid=scanner.uid("study"))
    server.kill()


def as_here(line: str, site: SimpleNamespace) -> str:
    return line.replace(PRINTED, site.server.dimse).replace("STUDY_UID", site.uid).replace("11112", str(site.port))


def environment(site: SimpleNamespace, **more: str) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "METSEG_HOME": str(site.folder / "home"), **more}


def run(site: SimpleNamespace, lines: list[str]) -> str:
    script = "\n".join(as_here(line, site) for line in lines)
    ended = subprocess.run(
        ["bash", "-euc", script], cwd=site.folder, env=environment(site), capture_output=True, text=True, check=False,
        timeout=running.PATIENCE_S,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_by_hand(site: SimpleNamespace) -> None:
    said = run(site, block("metseg pacs echo"))
    assert "answers" in said
    assert site.uid in said
    assert "3 objects stored, 0 already there" in said
    (found,) = connect(site.server.web).find_studies(StudyQuery(study_uid=site.uid))
    assert set(found.modalities) == {"MR", "SEG", "SR", "RTSTRUCT"}


def test_automatically(site: SimpleNamespace) -> None:
    export, up, receive, find = block("metseg pacs receive --port")
    assert (up, find.split()[:3]) == ("metseg up", ["metseg", "pacs", "find"])
    (site.folder / "rules.toml").write_text("\n".join(block("[[rule]]")).replace("mets-sim", "bright-t1c"))
    address, *_ = block("metseg pacs echo")
    settings = dict(word.split("=") for word in export.split()[1:])
    with running.metseg_up(site.folder / "home", **settings) as service:
        # The address of the service, which is not at its usual port here; and the study is two days old, not new.
        line = f"{address}\nexport METSEG_API_URL={service.url}\nexec {receive} --quiet 1 --poll-days 36500"
        receiver = subprocess.Popen(["bash", "-euc", as_here(line, site)], cwd=site.folder, env=environment(site))
        try:
            wait_for(lambda: "SEG" in run(site, [address, find]))
            assert receiver.poll() is None
        finally:
            receiver.send_signal(signal.SIGINT)
            assert receiver.wait(60) == 0
    (found,) = connect(site.server.web).find_studies(StudyQuery(study_uid=site.uid))
    assert set(found.modalities) >= {"MR", "SEG"}


def test_by_stow(site: SimpleNamespace) -> None:
    export, up, send = block("METSEG_RECEIVER_FOLDER=")
    assert up == "metseg up"
    settings = dict(word.split("=") for word in export.split()[1:])
    folder = site.folder / "received"
    assert settings["METSEG_RECEIVER_FOLDER"].endswith(f"/{folder.name}")
    with running.metseg_up(site.folder / "home", **{**settings, "METSEG_RECEIVER_FOLDER": str(folder)}) as service:
        here = send.replace(" STUDY ", f" {site.folder / 'scan'} ").replace("http://127.0.0.1:8000", service.url)
        assert "6 objects stored, 0 already there" in run(site, [here])
    assert len(list((folder / "studies" / site.uid).rglob("*.dcm"))) == 6
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + running.PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)
