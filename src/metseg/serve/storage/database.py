"""Connect to the database and migrate its tables.

SQLite and PostgreSQL behave alike because every writing transaction is declared at its start. SQLite then takes its
only write lock at once instead of failing later; PostgreSQL locks rows where the code requests it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import command
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from metseg.errors import ResourceError
from metseg.serve.settings import Settings
from metseg.serve.storage.database_check import check_database
from metseg.serve.storage.engine import create_engine, migration_config

#: Advisory locks in PostgreSQL: for migrations, and for entries of the audit log.
MIGRATION_LOCK, AUDIT_LOCK = 0x6D6574736567, 0x6D6574736568


class Database:
    """The open database.

    Args:
        settings: settings with the URL.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = create_engine(settings.records_url)
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
        ResourceError: ``resources.database``, it cannot be reached, is damaged, or belongs to another version of
            metseg; the message contains no part of the URL.
    """
    check_database(settings)
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
