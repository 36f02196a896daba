"""Engines of SQLAlchemy for SQLite and PostgreSQL, and the configuration of their migrations."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

#: Execution option of connections for writing transactions.
WRITES = "metseg_writes"
#: Seconds that an SQLite writer waits for another.
BUSY_S = 30
#: Code of PostgreSQL for a server whose disk is full.
_POSTGRESQL_DISK_FULL: Final = "53100"


def migration_config(connection: sa.Connection | None = None) -> Config:
    """Return the configuration of Alembic; the migrations are part of the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(str(resources.files("metseg.serve"))) / "migrations"))
    config.attributes["connection"] = connection
    return config


def create_engine(url: sa.URL) -> sa.Engine:
    """Return an engine that declares writing transactions at their start."""
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
    # Its own knows the letters of ASCII only; PostgreSQL and Python know all.
    connection.create_function("lower", 1, lambda text: None if text is None else text.lower(), deterministic=True)


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def is_disk_full(error: Exception) -> bool:
    """Return whether an error of the database means that its disk is full."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL:
        return True
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
