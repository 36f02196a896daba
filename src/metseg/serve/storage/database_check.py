"""Check the database before it is used: reachable, not damaged, and of this version of metseg."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from metseg.errors import ResourceError
from metseg.serve.settings import Settings
from metseg.serve.storage.engine import create_engine, migration_config

_SOUND = "ok"


class DatabaseUnreachable(ResourceError):
    """The database does not answer; it may do so later."""

    default_code = "resources.database"


def newest_revision() -> str | None:
    """Return the revision of the tables of this version of metseg."""
    return ScriptDirectory.from_config(migration_config()).get_current_head()


def check_database(settings: Settings) -> str | None:
    """Return the revision of the tables; None if there are none yet. Changes nothing.

    Raises:
        DatabaseUnreachable: ``resources.database``, no connection; the message contains no part of the URL.
        ResourceError: ``resources.database``, a file is damaged, or the tables belong to another version of metseg.
    """
    revision = _read(settings, settings.records_url)
    if settings.records_url.get_backend_name() == "sqlite":
        _read(settings, settings.jobs_url)
    known = {script.revision for script in ScriptDirectory.from_config(migration_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise ResourceError(
            "the tables belong to another version of metseg",
            where="the database",
            expected=newest_revision(),
            got=revision,
            cure="install that version, or a newer one",
            code="resources.database",
        )
    return revision


def _read(settings: Settings, url: sa.URL) -> str | None:
    """Return the revision of the tables at a URL, after checking an SQLite file for damage."""
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and not Path(url.database or "").is_file():
        return None
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if is_sqlite and connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != _SOUND:
                raise _damaged(url)
            return MigrationContext.configure(connection).get_current_revision()
    except sa.exc.OperationalError as error:
        raise DatabaseUnreachable(
            "the database cannot be reached",
            where="METSEG_DATABASE_URL" if settings.database_url else "METSEG_HOME",
            got=type(error.orig).__name__,
            cure="check that the database is running, and that user name and password are correct",
        ) from None
    except sa.exc.DatabaseError:
        if is_sqlite:
            raise _damaged(url) from None
        raise
    finally:
        engine.dispose()


def _damaged(url: sa.URL) -> ResourceError:
    return ResourceError(
        "the database is damaged",
        where=Path(url.database or "").name,
        cure="stop the service and restore the file from a back-up (docs/deploy.md)",
        code="resources.database",
    )
