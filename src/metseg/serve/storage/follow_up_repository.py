"""Follow-ups in the database, for their owners: add, find, list and delete. Rows are never changed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, joinedload, selectinload

from metseg.runtime.atomic_io import flush_folder, move_folder
from metseg.serve.http.problem_details import Refused
from metseg.serve.settings import Settings
from metseg.serve.storage import audit
from metseg.serve.storage.api_keys import Principal
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import ExaminationRecord, FollowUpRecord
from metseg.serve.storage.folders import Folders
from metseg.serve.storage.follow_up_removal import drop_follow_up
from metseg.serve.storage.job_repository import Clock, now
from metseg.serve.storage.list_pages import ListPage, read_page
from metseg.serve.storage.study_service import visible_study


@dataclass(frozen=True)
class ExaminationRow:
    """An examination of a follow-up to store: see `ExaminationRecord`."""

    study_id: str
    version: int
    name: str
    day: date | None


@dataclass(frozen=True)
class NewFollowUpRow:
    """A follow-up to store.

    Args:
        folder: folder with its files only.
        label: words of the user.
        examinations: in order of time.
        headline: sentences.
        changes: as JSON, see `FollowUpRecord`.
        artifacts: entries of its files.
    """

    folder: Path
    label: str
    examinations: Sequence[ExaminationRow]
    headline: list[str]
    changes: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]


class FollowUpRows:
    """Repository of follow-ups for their owners.

    Args:
        database: from `open_database`.
        settings: with the home folder.
        clock: returns the time.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.folders = Folders(settings.home)
        self.clock = clock

    def add(self, who: Principal, follow_up_id: str, new: NewFollowUpRow) -> FollowUpRecord:
        """Move the files of a follow-up into place and store its rows, with an entry in the audit log.

        Raises:
            Refused: ``request.unknown``, one of the studies was deleted meanwhile.
            ResourceError: ``resources.disk``.
        """
        target = self.folders.follow_ups / follow_up_id
        flush_folder(new.folder)  # before any lock is held
        try:
            with self.database.write() as session:
                for study_id in sorted(one.study_id for one in new.examinations):  # always locked in the same order
                    visible_study(session, who, study_id, lock=True)
                move_folder(new.folder, target)
                session.add(self._record(who, follow_up_id, new))
                studies = ",".join(one.study_id for one in new.examinations)
                detail = {"follow_up": follow_up_id, "studies": studies}
                audit.append(session, who.actor, "follow_up.created", detail=detail)
                return _loaded(session, who, follow_up_id)
        except BaseException:
            if not self._may_be_stored(follow_up_id):
                shutil.rmtree(target, ignore_errors=True)
            raise

    def find(self, who: Principal, follow_up_id: str) -> FollowUpRecord:
        """Return a follow-up.

        Raises:
            Refused: ``request.unknown``, it does not exist or has another owner.
        """
        with self.database.read() as session:
            return _loaded(session, who, follow_up_id)

    def page(self, who: Principal, *, limit: int, after: str | None) -> ListPage[FollowUpRecord]:
        """Return a page of the follow-ups of an owner, newest first.

        Raises:
            Refused: ``request.unknown``, `after` is not a follow-up of this owner.
        """
        query = sa.select(FollowUpRecord).where(FollowUpRecord.owner == who.owner).options(_PARTS)
        with self.database.read() as session:
            last = None if after is None else _loaded(session, who, after)
            return read_page(session, query, FollowUpRecord, limit=limit, after=last)

    def delete(self, who: Principal, follow_up_id: str) -> None:
        """Remove a follow-up and its files.

        Raises:
            Refused: as `find`.
        """
        with self.database.write() as session:
            _loaded(session, who, follow_up_id)
            drop_follow_up(session, follow_up_id, who.actor)
        self.folders.remove_follow_ups([follow_up_id])

    def note_reading(self, who: Principal, follow_up_id: str, name: str) -> None:
        """Record in the audit log that a file was read."""
        with self.database.write() as session:
            audit.append(session, who.actor, "artifact.read", detail={"follow_up": follow_up_id, "name": name})

    def _record(self, who: Principal, follow_up_id: str, new: NewFollowUpRow) -> FollowUpRecord:
        return FollowUpRecord(
            id=follow_up_id,
            owner=who.owner,
            label=new.label,
            created_at=self.clock(),
            headline=new.headline,
            changes=new.changes,
            artifacts=new.artifacts,
            examinations=[
                ExaminationRecord(
                    follow_up_id=follow_up_id,
                    place=place,
                    study_id=one.study_id,
                    version=one.version,
                    name=one.name,
                    day=one.day,
                )
                for place, one in enumerate(new.examinations)
            ],
        )

    def _may_be_stored(self, follow_up_id: str) -> bool:
        """Return whether the row was or may have been committed: a failed commit can still have succeeded."""
        try:
            with self.database.read() as session:
                return session.get(FollowUpRecord, follow_up_id) is not None
        except SQLAlchemyError:
            return True


#: What is loaded with a follow-up.
_PARTS = selectinload(FollowUpRecord.examinations).options(joinedload(ExaminationRecord.study))


def _loaded(session: Session, who: Principal, follow_up_id: str) -> FollowUpRecord:
    session.flush()
    query = sa.select(FollowUpRecord).where(FollowUpRecord.id == follow_up_id, FollowUpRecord.owner == who.owner)
    found = session.scalar(query.options(_PARTS).execution_options(populate_existing=True))
    if found is None:
        raise unknown_follow_up()
    return found


def unknown_follow_up() -> Refused:
    """Return the error for a follow-up that does not exist or has another owner, without a difference."""
    return Refused("request.unknown", "the follow-up does not exist", cure="list your follow-ups: GET /follow-ups")
