"""Two workers on PostgreSQL, killed twice, once for good: twenty studies, twenty results."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from metseg.schemas import State

pytestmark = pytest.mark.slow

#: Where Debian has them, beside what is in the path.
DEBIAN = Path("/usr/lib/postgresql")

#: Who runs the server where the tests are run by root, which it refuses.
UNPRIVILEGED = ("postgres", "nobody")


def find_program(name: str) -> str:
    """Return one of PostgreSQL's programs, the newest; skip the test where there is none."""
    versions = sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name.split(".")[0]), reverse=True)
    places = os.pathsep.join([*map(str, versions), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"PostgreSQL is absent: no {name} (on Debian: apt install postgresql)")
    return found


def as_somebody(folder: Path) -> dict[str, Any]:
    """Return how to run a program that root may not run, and give the folder to whoever does."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    who = next((known[name] for name in UNPRIVILEGED if name in known), None)
    if who is None:
        pytest.skip("PostgreSQL refuses root, and there is no other account to run it")
    os.chown(folder, who.pw_uid, who.pw_gid)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def database_url(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a PostgreSQL of our own on loopback, and have the settings of the home name it."""
    initdb, postgres = find_program("initdb"), find_program("postgres")
    psycopg = pytest.importorskip("psycopg")
    # Not below pytest's own folder: only its owner may go in there.
    folder = Path(tempfile.mkdtemp(prefix="metseg-pg-"))
    port, somebody = free_port(), as_somebody(folder)
    data = folder / "data"
    try:
        make = [initdb, "-D", data, "-U", "metseg", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd="/", **somebody)
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [postgres, "-D", data, "-p", str(port), *settings], cwd="/", stdout=log, stderr=log, **somebody
            )
        try:
            _make_database(psycopg, port, server, folder / "log")
            url = f"postgresql://metseg@127.0.0.1:{port}/metseg"
            monkeypatch.setenv("METSEG_DATABASE_URL", url)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for whoever is still connected
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_database(psycopg: Any, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = psycopg.connect(f"postgresql://metseg@127.0.0.1:{port}/postgres", autocommit=True)
            break
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    with connection:
        connection.execute("CREATE DATABASE metseg")


@pytest.fixture
def twenty(
    database_url: str, accept: Callable[..., str], picture_files: Callable[[int], list[Any]]
) -> Callable[[], list[str]]:
    """Return a function that has twenty studies accepted."""
    files: Sequence[Any] = picture_files(1)
    return lambda: [accept(files, "bright-pictures") for _ in range(20)]


def test_twenty_studies_two_workers_two_kills(
    database_url: str, make_fleet: Callable[[], Any], twenty: Callable[[], list[str]]
) -> None:
    fleet = make_fleet()
    assert not fleet.store.database.is_sqlite
    studies = twenty()
    fleet.start("w1")
    fleet.start("w2")

    fleet.wait_for(lambda: sum(fleet.endings().values()) >= 3, "some are done")
    fleet.wait_for(lambda: fleet.store.running(token_prefix="w1:"), "w1 has one in work")
    fleet.kill("w1")
    fleet.start("w1")

    fleet.wait_for(lambda: sum(fleet.endings().values()) >= 8, "more are done")
    fleet.wait_for(lambda: fleet.store.running(token_prefix="w2:"), "w2 has one in work")
    fleet.kill("w2")  # for good

    fleet.wait_until_over(studies)
    records = fleet.records(studies)
    assert {study.state for study in records} == {State.DONE}
    assert {study.lesion_count for study in records} == {1}
    assert fleet.endings() == {(study, "study.done"): 1 for study in studies}
    for study in studies:
        artifacts = fleet.store.folders.study(study).artifacts
        assert (artifacts / "mask-1.png").is_file()
        assert (artifacts / "report.pdf").is_file()
    assert fleet.end("w1") == 0


def test_a_database_that_goes_away_and_comes_back(
    database_url: str, make_fleet: Callable[[], Any], twenty: Callable[[], list[str]]
) -> None:
    """Every connection is cut twice while studies are in work; none is lost, and no worker ends."""
    psycopg = pytest.importorskip("psycopg")
    fleet = make_fleet()
    studies = twenty()[:6]
    fleet.start("w1")
    for count in (1, 3):
        fleet.wait_for(lambda least=count: sum(fleet.endings().values()) >= least, "some are done")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    fleet.wait_until_over(studies)
    assert {study.state for study in fleet.records(studies)} == {State.DONE}
