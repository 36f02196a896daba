"""``metseg up``: what it starts, and that it looks before it does."""

from __future__ import annotations

import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from metseg.cli import up
from metseg.serve.jobs import supervisor
from metseg.serve.settings import load_settings
from metseg.serve.storage.database import open_database


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Return the children that would be started, in order; none is."""
    monkeypatch.setenv("METSEG_HOME", str(tmp_path))
    children: list[Any] = []

    class Pretends:
        def __init__(self, given: list[Any], *, grace_s: float) -> None:
            children.extend(given)

        def run(self) -> int:
            return 0

    monkeypatch.setattr(supervisor, "Supervisor", Pretends)
    return children


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_starts_everything(
    run_metseg: Callable[..., Any], started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "page_is_installed", lambda: True)
    monkeypatch.setenv("METSEG_HOST", "0.0.0.0")  # which is the API's: the page stays on this machine
    port, page_port = free_port(), free_port()
    answer = run_metseg("up", "--port", port, "--page-port", page_port)
    assert answer.status == 0
    assert [child.name for child in started] == ["api", "worker", "page"]
    api, worker, page = started
    assert api.command == (sys.executable, "-m", "metseg", "serve", "--port", str(port))
    assert worker.command == (sys.executable, "-m", "metseg", "worker")
    assert page.command == (sys.executable, "-m", "metseg", "ui", "--host", "127.0.0.1", "--port", str(page_port))
    assert page.environment == {"METSEG_API_URL": f"http://127.0.0.1:{port}"}
    assert f"http://127.0.0.1:{page_port}" in answer.err


def test_without_a_page_it_starts_the_rest(
    run_metseg: Callable[..., Any], started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "page_is_installed", lambda: False)
    answer = run_metseg("up", "--port", free_port(), "--workers", 0)
    assert answer.status == 0
    assert "page: not installed" in answer.err
    assert [child.name for child in started] == ["api"]


def test_several_workers_have_names_that_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path))
    monkeypatch.setenv("METSEG_WORKER_ID", "ward")
    children = up.worker_children(load_settings(), 2)
    assert [child.command[-2:] for child in children] == [("--name", "ward-1"), ("--name", "ward-2")]
    assert children == up.worker_children(load_settings(), 2)


def test_a_port_that_is_taken_is_said_before_anything_starts(
    run_metseg: Callable[..., Any], started: list[Any]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run_metseg("up", "--port", port)
    assert answer.status == 2
    assert f"cannot listen on port {port}" in answer.err
    assert started == []


def test_a_second_one_at_the_same_home_warns(
    run_metseg: Callable[..., Any], started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_metseg("up", "--port", free_port(), "--no-page")
    assert (first.status, "warning" in first.err) == (0, False)
    with FileLock(tmp_path / up.UP_LOCK):
        second = run_metseg("up", "--port", free_port(), "--no-page")
        assert (second.status, "another `metseg up` is running" in second.err) == (0, True)
        monkeypatch.setenv("METSEG_HOME", str(tmp_path / "elsewhere"))
        assert "warning" not in run_metseg("up", "--port", free_port(), "--no-page").err


def test_while_it_runs_the_home_is_locked(
    run_metseg: Callable[..., Any], started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[bool] = []

    def look(*_: object) -> int:
        with pytest.raises(Timeout):
            FileLock(tmp_path / up.UP_LOCK).acquire(timeout=0)
        locked.append(True)
        return 0

    monkeypatch.setattr(supervisor.Supervisor, "run", look)
    run_metseg("up", "--port", free_port(), "--no-page")
    assert locked == [True]


def test_a_database_of_another_version_or_a_damaged_one_is_told_before_anything_starts(
    run_metseg: Callable[..., Any], started: list[Any], tmp_path: Path
) -> None:
    open_database(load_settings(home=tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "service.sqlite")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    newer = run_metseg("up", "--port", free_port())
    assert (newer.status, "the tables belong to another version of metseg" in newer.err) == (5, True)
    (tmp_path / "service.sqlite").write_bytes(b"no database" * 1000)
    damaged = run_metseg("up", "--port", free_port())
    assert (damaged.status, "service.sqlite: the database is damaged" in damaged.err) == (5, True)
    assert started == []
