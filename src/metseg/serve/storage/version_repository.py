"""Versions of finished studies in the database: list, find and add. Rows are never changed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from metseg.runtime.atomic_io import flush_folder, move_folder
from metseg.schemas import State
from metseg.serve.http.problem_details import Refused
from metseg.serve.settings import Settings
from metseg.serve.storage import audit
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import StudyRecord, VersionRecord
from metseg.serve.storage.folders import Folders
from metseg.serve.storage.job_repository import Clock, now
from metseg.serve.storage.study_service import visible_study

#: Largest number of corrected versions of a study.
MAX_VERSIONS: Final = 100


@dataclass(frozen=True)
class NewVersionRow:
    """A version to store.

    Args:
        folder: folder with its files only; its name is random.
        parent: number of the version that was corrected.
        source: ``edits`` or ``mask``.
        author: as the client stated it.
        note: of the client.
        edits: as JSON.
        mask_sha256: checksum of the uploaded mask; None: there is none.
        content: see `VersionRecord`.
        artifacts: entries of its files.
    """

    folder: Path
    parent: int
    source: str
    author: str
    note: str
    edits: list[Any]
    mask_sha256: str | None
    content: dict[str, Any]
    artifacts: list[dict[str, Any]]


class Versions:
    """Repository of versions for the owners of studies.

    Args:
        database: from `open_database`.
        settings: with the home folder.
        clock: returns the time.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.folders = Folders(settings.home)
        self.clock = clock

    def list(self, who: Principal, study_id: str) -> Sequence[VersionRecord]:
        """Return the corrected versions of a study that is done, oldest first.

        Raises:
            Refused: ``request.unknown``; ``request.state``, the study is not done.
        """
        with self.database.read() as session:
            require_done(visible_study(session, who, study_id))
            query = sa.select(VersionRecord).where(VersionRecord.study_id == study_id)
            return list(session.scalars(query.order_by(VersionRecord.number)))

    def find(self, who: Principal, study_id: str, number: int) -> VersionRecord:
        """Return a corrected version.

        Raises:
            Refused: as `list`; ``request.unknown``, the study has no such version.
        """
        with self.database.read() as session:
            require_done(visible_study(session, who, study_id))
            found = session.get(VersionRecord, (study_id, number))
        if found is None:
            raise unknown_version()
        return found

    def require_latest(self, who: Principal, study_id: str, parent: int) -> None:
        """Raise early if a version cannot be added; `add` checks again.

        Raises:
            Refused: as `list`; ``request.conflict``, the parent is not the latest version; ``request.too_large``,
                the study has too many versions.
        """
        with self.database.read() as session:
            require_done(visible_study(session, who, study_id))
            _next_number(session, study_id, parent)

    def add(self, who: Principal, study_id: str, new: NewVersionRow) -> VersionRecord:
        """Move the files of a version into place and store its row, with an entry in the audit log.

        Raises:
            Refused: as `require_latest`.
            ResourceError: ``resources.disk``.
        """
        target = self.folders.study(study_id).versions / new.folder.name
        flush_folder(new.folder)  # before any lock is held
        try:
            with self.database.write() as session:
                require_done(visible_study(session, who, study_id, lock=True))
                number = _next_number(session, study_id, new.parent)
                move_folder(new.folder, target)
                record = self._record(who, study_id, number, new)
                session.add(record)
                detail: dict[str, str | int] = {
                    "version": number,
                    "parent": new.parent,
                    "source": new.source,
                    "edits": len(new.edits),
                }
                if new.mask_sha256 is not None:
                    detail["mask_sha256"] = new.mask_sha256
                audit.append(session, who.actor, "version.created", study_id=study_id, detail=detail)
                return record
        except BaseException:
            if not self._may_be_stored(study_id, new.folder.name):
                shutil.rmtree(target, ignore_errors=True)
            raise

    def _record(self, who: Principal, study_id: str, number: int, new: NewVersionRow) -> VersionRecord:
        return VersionRecord(
            study_id=study_id,
            number=number,
            parent=new.parent,
            folder=new.folder.name,
            source=new.source,
            created_at=self.clock(),
            actor=who.actor,
            author=new.author,
            note=new.note,
            edits=new.edits,
            mask_sha256=new.mask_sha256,
            content=new.content,
            artifacts=new.artifacts,
        )

    def _may_be_stored(self, study_id: str, folder: str) -> bool:
        """Return whether the row was or may have been committed: a failed commit can still have succeeded."""
        wanted = (VersionRecord.study_id == study_id, VersionRecord.folder == folder)
        try:
            with self.database.read() as session:
                return session.scalar(sa.select(VersionRecord.number).where(*wanted)) is not None
        except SQLAlchemyError:
            return True


def require_done(study: StudyRecord) -> None:
    """Raise unless a study has a result.

    Raises:
        Refused: ``request.state``.
    """
    if study.state != State.DONE:
        raise Refused(
            "request.state",
            "only finished studies have versions",
            got=study.state,
            cure="wait until the study is done",
        )


def unknown_version() -> Refused:
    """Return the error for a version that does not exist."""
    return Refused("request.unknown", "the study has no such version", cure="see GET /studies/{study_id}/versions")


def _next_number(session: Session, study_id: str, parent: int) -> int:
    query = sa.select(sa.func.max(VersionRecord.number)).where(VersionRecord.study_id == study_id)
    latest = session.scalar(query) or 0
    if parent != latest:
        raise Refused(
            "request.conflict",
            "the parent is not the latest version of the study",
            where="parent",
            expected=latest,
            got=parent,
            cure=f"read version {latest}, and correct that one",
        )
    if latest >= MAX_VERSIONS:
        raise Refused(
            "request.too_large",
            "the study has too many versions",
            expected=f"at most {MAX_VERSIONS}",
            cure="upload the study again, and correct that one",
        )
    return latest + 1
