"""``metseg doctor``: what it says of the service's settings, and that it changes nothing by looking."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from metseg.serve.diagnostics import CHECKS, Finding, examine
from metseg.serve.settings import load_settings
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.database import open_database


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


def wrong() -> dict[str, str]:
    """Return the codes of what is wrong, by check."""
    return {name: finding.error.code for name, finding in found().items() if finding.error is not None}


@pytest.fixture
def port(home: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return a free port, which is the service's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    monkeypatch.setenv("METSEG_PORT", str(number))
    return number


def test_before_the_first_start(home: Path, port: int) -> None:
    (home / "service.sqlite").unlink()
    assert list(found()) == list(CHECKS)
    assert wrong() == {}
    texts = {name: finding.text for name, finding in found().items()}
    assert "METSEG_PORT" in texts["settings"]
    assert texts["database"] == "sqlite, empty: tables will be created at the first start"
    assert "bright-pictures" in texts["models"]
    assert texts["port"] == f"{port} of 127.0.0.1, free"
    assert sorted(path.name for path in home.iterdir()) == ["bundles"]


def test_a_home_that_is_not_there_yet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_HOME", str(home / "deeper" / "still"))
    assert "will be created at the first start" in found()["home"].text
    assert found()["models"].text.startswith("none")
    assert not (home / "deeper").exists()


def test_a_database_that_is_in_use(home: Path) -> None:
    database = open_database(load_settings())
    assert found()["database"].text == "sqlite, tables up to date"
    assert found()["keys"].text.startswith("none")
    Keys(database).add("ward-7")
    assert found()["keys"].text == "required for requests"
    database.close()


def test_tables_of_another_version(home: Path) -> None:
    open_database(load_settings()).close()
    with sqlite3.connect(home / "service.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert wrong()["database"] == "resources.database"


def test_a_database_that_cannot_be_used_is_told_by_all_alike(
    home: Path, run_metseg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence from `doctor`, `serve`, `serve keys` and `worker`, and no list of calls."""
    monkeypatch.setattr("metseg.serve.log_redaction.configure_logs", lambda _level: None)
    whole = (home / "service.sqlite").read_bytes()
    half_zero = whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)
    for name, content, said in (
        ("service.sqlite", b"no database" * 1000, "the database is damaged"),
        ("service.sqlite", half_zero, "the database is damaged"),
        ("jobs.sqlite", b"no database" * 1000, "the database is damaged"),
        ("service.sqlite", other_version(home, whole), "the tables belong to another version of metseg"),
    ):
        (home / name).write_bytes(content)
        for command in (("doctor",), ("serve", "--port", "0"), ("serve", "keys", "list")):
            answer = run_metseg(*command)
            assert answer.status == 5, (name, command)
            assert said in answer.out + answer.err, (name, command)
            assert "Traceback" not in answer.err
        (home / "service.sqlite").write_bytes(whole)
        (home / "jobs.sqlite").unlink(missing_ok=True)


def other_version(home: Path, content: bytes) -> bytes:
    """Return a database with tables that this version does not know."""
    path = home / "service.sqlite"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("variable", "value", "check", "code"),
    [
        ("METSEG_PROT", "8000", "settings", "usage.unknown_name"),
        ("METSEG_PORT", "many", "settings", "usage.settings"),
        ("METSEG_HOST", "0.0.0.0", "keys", "usage.unguarded"),
        ("METSEG_PICTURE_MODEL", "bright-picture", "models", "usage.unknown_name"),
        ("METSEG_DISK_RESERVE_BYTES", str(10**18), "home", "resources.disk"),
        ("METSEG_DATABASE_URL", "postgresql://metseg:hush@127.0.0.1:1/metseg", "database", "resources.database"),
        ("METSEG_DATABASE_PASSWORD_FILE", "/nowhere", "settings", "usage.settings"),
    ],
)
def test_what_would_not_work(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: str, code: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert wrong()[check] == code
    assert "hush" not in str(examine())


def test_a_port_that_is_taken_is_said_and_is_not_wrong(home: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert "is the service already running?" in found()["port"].text
    assert wrong() == {}


def test_the_command(run_metseg: Callable[..., Any], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run_metseg("doctor", "--json")
    told = json.loads(answer.out)
    assert answer.status == 0
    assert [name for name in told if name.startswith("service.")] == [f"service.{name}" for name in CHECKS]
    monkeypatch.setenv("METSEG_HOST", "0.0.0.0")
    answer = run_metseg("doctor")
    assert answer.status == 2
    assert "wrong: METSEG_HOST: the service needs an API key to listen on other addresses than localhost" in answer.out


def test_the_password_of_the_database_may_be_in_a_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret@/\n")
    monkeypatch.setenv("METSEG_DATABASE_URL", "postgresql://metseg@database:5432/metseg")
    monkeypatch.setenv("METSEG_DATABASE_PASSWORD_FILE", str(secret))
    settings = load_settings()
    for url in (settings.records_url, settings.jobs_url):
        assert url.password == "s3cret@/"
        assert (url.username, url.host, url.port, url.database) == ("metseg", "database", 5432, "metseg")
    assert "s3cret" not in repr(settings)
