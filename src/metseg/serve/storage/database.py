"""Connect to the database and migrate its tables.

SQLite and PostgreSQL behave alike because every writing transaction is declared at its start. SQLite then takes its
only write lock at once instead of failing later; PostgreSQL locks rows where the code requests it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from metseg.errors import ResourceError
from metseg.serve.settings import Settings

#: Execution option of connections for writing transactions.
WRITES = "metseg_writes"
#: Seconds that an SQLite writer waits for another.
BUSY_S = 30
#: Advisory locks in PostgreSQL: for migrations, and for entries of the audit log.
MIGRATION_LOCK, AUDIT_LOCK = 0x6D6574736567, 0x6D6574736568


class Database:
    """The open database.

    Args:
        settings: settings with the URL.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = _engine(settings.records_url)
        self._writing = self.engine.execution_options(metseg_writes=True)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one consistent state."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session; commit its changes together, or none after an error."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Migrate the tables; when several processes start together, one migrates and the others wait."""
        with self._writing.connect() as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            command.upgrade(migration_config(connection), "head")

    def close(self) -> None:
        self.engine.dispose()


def open_database(settings: Settings) -> Database:
    """Open the database and migrate its tables.

    Raises:
        ResourceError: ``resources.database``, it cannot be reached; the message contains no part of the URL.
    """
    database = Database(settings)
    try:
        database.migrate()
    except OperationalError as error:
        database.close()
        raise ResourceError(
            "the database cannot be opened",
            where="METSEG_DATABASE_URL" if settings.database_url else "METSEG_HOME",
            got=type(error.orig).__name__,
            cure="check that the database is running, the account may create tables, and the disk is writable",
            code="resources.database",
        ) from None
    return database


def migration_config(connection: sa.Connection | None = None) -> Config:
    """Return the configuration of Alembic; the migrations are part of the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(str(resources.files("metseg.serve"))) / "migrations"))
    config.attributes["connection"] = connection
    return config


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=10)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # begin transactions explicitly, not by the driver's heuristics
    for pragma in (f"busy_timeout={BUSY_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
