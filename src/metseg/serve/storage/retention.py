"""Remove expired studies, files of deleted studies, and leftovers of killed processes.

Every API process does this once a minute, and one of the workers every five minutes; repeating is safe.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from metseg.errors import MetsegError
from metseg.schemas import FINAL_STATES
from metseg.serve.settings import Settings
from metseg.serve.storage import audit
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import FollowUpRecord, StudyRecord, VersionRecord
from metseg.serve.storage.folders import Folders
from metseg.serve.storage.follow_up_removal import drop_follow_ups
from metseg.serve.storage.input_cleaning import deidentify_inputs
from metseg.serve.storage.job_repository import Clock, now
from metseg.serve.storage.study_service import hide

EVERY_S: Final = 60.0
#: Time before the row of a deleted study is removed, because a running step may still write files.
ROW_STAYS: Final = timedelta(hours=2)
#: Minimum age in seconds of a folder without a row, because the row may not be committed yet.
ORPHAN_AGE_S: Final = 3600.0
#: Time after the end of a study in which its uploads and intermediate results are removed.
TIDY_FOR: Final = timedelta(hours=2)
#: Maximum number of ids in one query.
AT_ONCE: Final = 1000

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


class Sweeper:
    """Removes expired data.

    Args:
        database: from `open_database`.
        settings: deadline of uploads, and whether uploads are discarded.
        clock: returns the time.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.settings = settings
        self.folders = Folders(settings.home)
        self.clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Start a thread that sweeps regularly."""
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def sweep(self) -> None:
        """Remove all expired data."""
        self.expire()
        self.purge()
        self.tidy()
        self.remove_orphans()

    def expire(self) -> int:
        """Hide expired studies, remove the follow-ups that they are part of, and return the number of studies."""
        moment = self.clock()
        over = (StudyRecord.expires_at <= moment, StudyRecord.deleted_at.is_(None))
        with self.database.write() as session:
            studies = list(session.scalars(sa.select(StudyRecord).where(*over).with_for_update(skip_locked=True)))
            for study in studies:
                hide(study, moment)
                audit.append(session, "retention", "study.expired", study_id=study.id, at=moment)
            gone = drop_follow_ups(session, [study.id for study in studies], "retention")
        self.folders.remove_follow_ups(gone)
        return len(studies)

    def purge(self) -> None:
        """Remove the files of hidden studies, and their rows once no step can write files any more."""
        with self.database.read() as session:
            query = sa.select(StudyRecord.id, StudyRecord.deleted_at).where(StudyRecord.deleted_at.is_not(None))
            hidden = session.execute(query).all()
        gone = [study_id for study_id, since in hidden if self.folders.remove(study_id) and self._is_old(since)]
        for some in _parts(gone):
            with self.database.write() as session:
                session.execute(sa.delete(StudyRecord).where(StudyRecord.id.in_(some)))

    def tidy(self) -> None:
        """Remove uploads and intermediate results of ended studies, which a killed worker may have left."""
        since = self.clock() - TIDY_FOR
        ended = (StudyRecord.state.in_(FINAL_STATES), StudyRecord.finished_at > since)
        with self.database.read() as session:
            found = list(session.scalars(sa.select(StudyRecord.id).where(*ended)))
        for study_id in found:  # outside of the transaction: copies of large studies take minutes
            discard_scratch(self.folders, study_id, self.settings)

    def remove_orphans(self) -> None:
        """Remove abandoned uploads, and folders of studies, versions and follow-ups without a row."""
        _remove_older(self.folders.incoming.glob("*"), 2 * self.settings.upload_deadline_s)
        self._remove_unknown(self.folders.studies.glob("??/*"), StudyRecord.id)
        # A process that dies between the move of a version's files and the commit of its row leaves such a folder.
        self._remove_unknown(self.folders.studies.glob("??/*/versions/*"), VersionRecord.folder)
        self._remove_unknown(self.folders.follow_ups.glob("*"), FollowUpRecord.id)

    def _remove_unknown(self, paths: Iterable[Path], column: InstrumentedAttribute[str]) -> None:
        """Remove old folders with a name that no row has in a column."""
        for some in _parts([path for path in paths if _age_s(path) > ORPHAN_AGE_S]):
            with self.database.read() as session:
                known = set(session.scalars(sa.select(column).where(column.in_([path.name for path in some]))))
            for path in some:
                if path.name not in known:
                    shutil.rmtree(path, ignore_errors=True)

    def _is_old(self, since: datetime | None) -> bool:
        return since is not None and since < self.clock() - ROW_STAYS

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self.sweep()
            except Exception:  # the database may be down for a while; the next sweep tries again
                _log.warning("sweeping failed", exc_info=True)


def discard_scratch(folders: Folders, study_id: str, settings: Settings) -> None:
    """Remove the intermediate results of an ended study, and its uploads, unless the settings keep them.

    Args:
        folders: folders of the service.
        study_id: id of the study.
        settings: whether uploads are removed, kept as they are, or replaced by de-identified copies.
    """
    folder = folders.study(study_id)
    shutil.rmtree(folder.work, ignore_errors=True)
    if settings.discard_inputs:
        shutil.rmtree(folder.inputs, ignore_errors=True)
    elif settings.deidentify_inputs:
        try:
            deidentify_inputs(folder)
        except (MetsegError, OSError) as error:  # a full disk: the study is done in any case
            code = getattr(error, "code", "resources.system")
            _log.warning("study %s: its uploads are still there, the next sweep tries again: %s", study_id, code)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _remove_older(paths: Iterable[Path], age_s: float) -> None:
    for path in paths:
        if _age_s(path) > age_s:
            shutil.rmtree(path, ignore_errors=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
