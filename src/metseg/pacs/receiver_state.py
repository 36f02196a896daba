"""What a receiver remembers after it was killed: a SQLite file with studies that arrive, and jobs.

A job is one content of a study: its key is the study's UID and the digest of its images. Each state is committed before
the next action, and each action can be repeated, so a restart continues where the process ended.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from metseg.errors import InputError
from metseg.runtime.atomic_io import make_private

#: Version of the tables, in `PRAGMA user_version`.
_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS arrivals (study_uid TEXT PRIMARY KEY, last_arrival REAL NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, study_uid TEXT NOT NULL, files TEXT NOT NULL, model TEXT, state TEXT NOT NULL,
    service_study TEXT, attempts INTEGER NOT NULL DEFAULT 0, next_attempt REAL NOT NULL DEFAULT 0, code TEXT
);
CREATE TABLE IF NOT EXISTS sent (key TEXT NOT NULL, sop_uid TEXT NOT NULL, PRIMARY KEY (key, sop_uid));
"""


class JobState(StrEnum):
    """State of a job."""

    COMPLETE = "complete"
    SUBMITTED = "submitted"
    FETCHED = "fetched"
    DONE = "done"
    FAILED = "failed"


#: States in which something remains to be done.
OPEN: Final = (JobState.COMPLETE, JobState.SUBMITTED, JobState.FETCHED)


@dataclass(frozen=True)
class ReceivedJob:
    """A study to be processed.

    Args:
        key: of the study and its content.
        study_uid: UID.
        files: images to process, below the folder of the study.
        model: name of a model; None: the service chooses.
        state: what is done.
        service_study: id of the study in the service.
        attempts: failures since the last success.
        code: of the last failure.
    """

    key: str
    study_uid: str = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    model: str | None
    state: JobState = JobState.COMPLETE
    service_study: str | None = None
    attempts: int = 0
    code: str | None = None


class ReceiverState:
    """The file. Safe to use from several threads.

    Args:
        path: the file, made if absent.
    Raises:
        InputError: it is no file of a receiver, or one of a newer version.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path.parent)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(f"{_TABLES} PRAGMA user_version = {_VERSION};")
        except sqlite3.DatabaseError:
            self._connection.close()
            raise InputError(
                "not the state of a receiver, or one of a newer version",
                where=path,
                cure="choose another folder, or restore the file",
                code="input.receiver_state",
            ) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add_arrival(self, study_uid: str, now: float) -> None:
        """Record that an object of a study was stored at a time in seconds."""
        with self._transaction() as connection:
            connection.execute("REPLACE INTO arrivals VALUES (?, ?)", (study_uid, now))

    def knows(self, study_uid: str) -> bool:
        """Return whether a study is arriving or has a job."""
        query = "SELECT 1 FROM arrivals WHERE study_uid = ? UNION SELECT 1 FROM jobs WHERE study_uid = ?"
        with self._transaction() as connection:
            return connection.execute(query, (study_uid, study_uid)).fetchone() is not None

    def quiet_studies(self, before: float) -> list[str]:
        """Return the studies without a new object since a time in seconds."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT study_uid FROM arrivals WHERE last_arrival <= ?", (before,))
            return [uid for (uid,) in rows]

    def close_study(self, study_uid: str, before: float, job: ReceivedJob | None) -> bool:
        """End the arrival of a study, and add its job unless there is one with the same key.

        Args:
            study_uid: UID.
            before: time in seconds; nothing changes if an object has arrived since.
            job: None: nothing is to be done with the study.
        Returns:
            Whether a job was added.
        """
        with self._transaction() as connection:
            ended = connection.execute(
                "DELETE FROM arrivals WHERE study_uid = ? AND last_arrival <= ?", (study_uid, before)
            )
            if not ended.rowcount or job is None:
                return False
            added = connection.execute(
                "INSERT OR IGNORE INTO jobs (key, study_uid, files, model, state) VALUES (?, ?, ?, ?, ?)",
                (job.key, job.study_uid, json.dumps(job.files), job.model, job.state),
            )
            return bool(added.rowcount)

    def jobs(self, *, due: float | None = None) -> list[ReceivedJob]:
        """Return all jobs; with `due`, the unfinished ones with an attempt due at that time in seconds."""
        columns = "key, study_uid, files, model, state, service_study, attempts, code, next_attempt"
        with self._transaction() as connection:
            rows = connection.execute(f"SELECT {columns} FROM jobs ORDER BY rowid").fetchall()
        found = [(_job(*row[:8]), row[8]) for row in rows]
        return [job for job, next_attempt in found if due is None or (job.state in OPEN and next_attempt <= due)]

    def advance(self, key: str, state: JobState, *, service_study: str | None = None, code: str | None = None) -> None:
        """Record what was done; the count of failures starts again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, service_study = coalesce(?, service_study), code = ?, attempts = 0, "
                "next_attempt = 0 WHERE key = ?",
                (state, service_study, code, key),
            )

    def postpone(self, key: str, until: float, code: str | None) -> None:
        """Set the time in seconds of the next attempt; with a code, count a failure."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET attempts = attempts + ?, next_attempt = ?, code = ? WHERE key = ?",
                (int(code is not None), until, code, key),
            )

    def add_sent(self, key: str, sop_uid: str) -> None:
        """Record that the PACS has a result."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO sent VALUES (?, ?)", (key, sop_uid))

    def sent(self, key: str) -> frozenset[str]:
        """Return the UIDs of the results of a job that the PACS has."""
        with self._transaction() as connection:
            return frozenset(uid for (uid,) in connection.execute("SELECT sop_uid FROM sent WHERE key = ?", (key,)))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _job(key: str, study_uid: str, files: str, model: str | None, state: str, *others: Any) -> ReceivedJob:
    return ReceivedJob(key, study_uid, tuple(json.loads(files)), model, JobState(state), *others)
