"""Tables, migrations, the audit log, settings."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from metseg.errors import ResourceError, UsageError
from metseg.serve.settings import Settings, load_settings
from metseg.serve.storage import audit
from metseg.serve.storage.database import Database, open_database
from metseg.serve.storage.db_models import AuditRecord, KeyRecord, Record
from metseg.serve.storage.engine import migration_config


def test_migrations_make_the_tables_that_the_records_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Record.metadata) == []


def test_migrations_go_back_and_forth(database: Database) -> None:
    with database.engine.begin() as connection:
        command.downgrade(migration_config(connection), "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    database.migrate()
    database.migrate()  # what is up to date stays as it is
    with database.engine.connect() as connection:
        assert set(Record.metadata.tables) < set(sa.inspect(connection).get_table_names())


def test_processes_that_start_together_make_the_tables_once(tmp_path: Path) -> None:
    code = (
        "from metseg.serve.storage.database import open_database\n"
        "from metseg.serve.settings import load_settings\n"
        "open_database(load_settings()).close()"
    )
    environment = {**os.environ, "METSEG_HOME": str(tmp_path)}
    together = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE) for _ in range(3)
    ]
    said = [process.communicate(timeout=120)[1] for process in together]
    assert [process.returncode for process in together] == [0, 0, 0], said


def test_times_keep_their_zone(database: Database) -> None:
    moment = datetime(2025, 3, 14, 10, 26, tzinfo=timezone(timedelta(hours=1)))
    with database.write() as session:
        session.add(KeyRecord(id="a", owner="o", scopes=[], digest="d", created_at=moment))
    with database.read() as session:
        found = session.get_one(KeyRecord, "a").created_at
    assert found == moment
    assert found.utcoffset() == timedelta(0)
    with pytest.raises(sa.exc.StatementError, match="zone"), database.write() as session:
        session.add(KeyRecord(id="b", owner="o", scopes=[], digest="d", created_at=datetime(2025, 3, 14)))


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with suppress(RuntimeError), database.write() as session:
        audit.append(session, "local", "study.accepted")
        raise RuntimeError
    assert audit.verify(database) == audit.Verdict(0, audit.START)


def fill(database: Database, count: int) -> None:
    for number in range(count):
        with database.write() as session:
            audit.append(session, "local", "study.accepted", study_id=f"{number:032x}", detail={"files": number})


def test_the_chain_holds(database: Database) -> None:
    fill(database, 3)
    verdict = audit.verify(database)
    assert (verdict.entries, verdict.broken_at) == (3, None)
    assert audit.contains(database, verdict.head)
    assert not audit.contains(database, "0" * 64)


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"])
def test_the_database_refuses_to_change_the_log(database: Database, statement: str) -> None:
    fill(database, 1)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), database.write() as session:
        session.execute(sa.text(statement))
    assert audit.verify(database).entries == 1


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit_log SET actor = 'x' WHERE number = 2", 2),
        ("UPDATE audit_log SET detail = '{}' WHERE number = 1", 1),
        ("DELETE FROM audit_log WHERE number = 2", 2),
        ("UPDATE audit_log SET at = '2020-01-01T00:00:00+00:00' WHERE number = 3", 3),
    ],
)
def test_a_change_is_found(database: Database, statement: str, broken_at: int) -> None:
    fill(database, 3)
    with database.write() as session:
        for event in ("update", "delete"):
            session.execute(sa.text(f"DROP TRIGGER audit_log_no_{event}"))
        session.execute(sa.text(statement))
    assert audit.verify(database).broken_at == broken_at


def test_what_is_cut_off_is_known_by_a_head_that_was_noted(database: Database) -> None:
    fill(database, 3)
    head = audit.verify(database).head
    with database.write() as session:
        session.execute(sa.text("DROP TRIGGER audit_log_no_delete"))
        session.execute(sa.delete(AuditRecord).where(AuditRecord.number == 3))
    assert audit.verify(database).broken_at is None
    assert not audit.contains(database, head)


def test_a_database_that_cannot_be_opened(settings: Settings) -> None:
    settings.home.rename(settings.home.with_name("elsewhere"))
    with pytest.raises(ResourceError) as caught:
        open_database(settings)
    assert caught.value.code == "resources.database"
    assert str(settings.home) not in caught.value.one_line()


def test_settings_come_from_file_and_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "metseg.toml").write_text('port = 9000\nqueue_limit = 7\nallowed_hosts = ["here"]\n')
    monkeypatch.setenv("METSEG_PORT", "9001")
    settings = load_settings()
    assert (settings.home, settings.port, settings.queue_limit) == (home, 9001, 7)
    assert settings.allowed_hosts == ("here",)
    monkeypatch.setenv("METSEG_ALLOWED_HOSTS", "Localhost, metseg.example")
    assert load_settings(port=9002).port == 9002
    assert load_settings().allowed_hosts == ("localhost", "metseg.example")


@pytest.mark.parametrize(
    ("text", "variable", "word"),
    [
        ("colour = 1", None, "colour"),
        ("port = 70000", None, "port"),
        ("port = ", None, "metseg.toml"),
        ("dead_after_s = 6", None, "dead_after_s"),
        ("", ("METSEG_QUEUE_LIMIT", "0"), "queue_limit"),
        ("", ("METSEG_DATABASE_URL", "mysql://u:secret@h/d"), "database_url"),
        ("", ("METSEG_DATABASE_URL", "secret"), "database_url"),
    ],
)
def test_wrong_settings_are_named_and_not_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, variable: tuple[str, str] | None, word: str
) -> None:
    (home / "metseg.toml").write_text(text)
    if variable:
        monkeypatch.setenv(*variable)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert caught.value.code == "usage.settings"
    assert word in caught.value.one_line()
    assert "secret" not in caught.value.one_line()


def test_where_the_databases_are(home: Path) -> None:
    plain = load_settings()
    assert plain.records_url.database == str(home / "service.sqlite")
    assert plain.jobs_url.database == str(home / "jobs.sqlite")
    postgres = load_settings(database_url="postgresql://u:p@h:5432/d")
    assert postgres.records_url.drivername == postgres.jobs_url.drivername == "postgresql+psycopg"
    assert "u:p" not in repr(postgres)
    elsewhere = load_settings(database_url="sqlite:////data/x.sqlite")
    assert elsewhere.jobs_url.database == "/data/jobs.sqlite"


def test_expired_keys_are_compared_in_utc(database: Database) -> None:
    with database.write() as session:
        ends = datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=-5)))
        session.add(KeyRecord(id="a", owner="o", scopes=[], digest="d", created_at=ends, expires_at=ends))
    with database.read() as session:
        just_after = datetime(2025, 1, 1, 5, 0, 1, tzinfo=UTC)
        assert session.scalar(sa.select(KeyRecord.id).where(KeyRecord.expires_at < just_after)) == "a"
