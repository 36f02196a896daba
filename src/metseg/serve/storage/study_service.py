"""Studies for their owners: accept, find, list, cancel and delete. Owners see only their own studies."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, selectinload

from metseg.runtime.atomic_io import disk_full_is_an_error, flush_renames, flush_to_disk
from metseg.schemas import Kind, Options, State
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.upload_reader import ReceivedFile
from metseg.serve.settings import Settings
from metseg.serve.storage import audit
from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL, Principal
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import ArtifactRecord, InputRecord, StudyRecord
from metseg.serve.storage.folders import Folders
from metseg.serve.storage.follow_up_removal import drop_follow_ups
from metseg.serve.storage.job_repository import Clock, expiry, now
from metseg.serve.storage.list_pages import ListPage, read_page

OPEN = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class CheckedFile:
    """A received file with its detected kind."""

    file: ReceivedFile
    kind: Kind
    ending: str


@dataclass(frozen=True)
class NewStudy:
    """A study to accept.

    Args:
        folder: folder that contains only the files.
        kind: kind of the files.
        files: received and validated files.
        options: options of the request, with the model filled in.
        digest: hash of the request.
        idempotency_key: key of the client, if any.
        model_reason: why the model was chosen; empty if the request named it.
        label: words of the user to find the study again.
    """

    folder: Path
    kind: Kind
    files: Sequence[CheckedFile]
    options: Options
    digest: str
    idempotency_key: str | None = None
    model_reason: str = ""
    label: str = ""


@dataclass(frozen=True)
class Search:
    """What studies are searched by; None: not by this.

    Args:
        label: part of the label, in small or capital letters.
        model: name of the model.
        state: state of the study.
        begin, end: accepted at or after `begin`, and before `end`.
    """

    label: str | None = None
    model: str | None = None
    state: State | None = None
    begin: datetime | None = None
    end: datetime | None = None


class Studies:
    """Repository of studies for their owners.

    Args:
        database: from `open_database`.
        settings: limits.
        clock: returns the time.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.settings = settings
        self.folders = Folders(settings.home)
        self.clock = clock

    def require_room(self, who: Principal, idempotency_key: str | None) -> None:
        """Raise before an upload is read if there is no room for it; repeated requests are always read.

        Raises:
            Refused: ``service.busy``, the queue is full; ``request.queue``, the caller has too many studies in it.
        """
        with self.database.read() as session:
            if _repeated(session, who, idempotency_key) is None:
                self._require_room(session, who)

    def accept(self, who: Principal, new: NewStudy) -> tuple[StudyRecord, bool]:
        """Store an upload as a study; return the study, and whether an earlier request had created it.

        Raises:
            Refused: as `require_room`; ``request.idempotency``, the key was used with other content.
            ResourceError: ``resources.disk``.
        """
        study_id = uuid.uuid4().hex
        _settle(new)
        try:
            with self.database.write() as session:
                audit.lock(session)  # serialize: two requests must not both take the last place or the same key
                known = _repeated(session, who, new.idempotency_key)
                if known is not None:
                    _require_same(known, new)
                    return self._loaded(session, known.id), True
                self._require_room(session, who)
                self._take(new, study_id)
                session.add(self._record(who, new, study_id))
                audit.append(session, who.actor, "study.accepted", study_id=study_id, detail={"files": len(new.files)})
                return self._loaded(session, study_id), False
        except BaseException:
            if not self._may_be_accepted(study_id):
                self.folders.remove(study_id)
            raise

    def _may_be_accepted(self, study_id: str) -> bool:
        """Return whether a study was or may have been committed: a failed commit can still have succeeded.

        If it was not, the sweeper removes the files later, as a folder without a row.
        """
        try:
            with self.database.read() as session:
                return session.get(StudyRecord, study_id) is not None
        except SQLAlchemyError:
            return True

    def find(self, who: Principal, study_id: str) -> StudyRecord:
        """Return a study with all its details.

        Raises:
            Refused: ``request.unknown``, the study does not exist or has another owner.
        """
        with self.database.read() as session:
            return self._loaded(session, study_id, who)

    def version(self, who: Principal, study_id: str) -> int:
        """Return the version of a study, which every change increments; raises as `find`."""
        with self.database.read() as session:
            return visible_study(session, who, study_id).version

    def page(self, who: Principal, *, limit: int, after: str | None, search: Search) -> ListPage[StudyRecord]:
        """Return a page of the studies of an owner that match a search, newest first.

        Raises:
            Refused: ``request.unknown``, `after` is not a study of this owner.
        """
        query = sa.select(StudyRecord).where(StudyRecord.owner == who.owner, StudyRecord.deleted_at.is_(None))
        query = query.where(*_conditions(search))
        with self.database.read() as session:
            last = None if after is None else visible_study(session, who, after)
            return read_page(session, query, StudyRecord, limit=limit, after=last)

    def with_artifact(self, studies: Sequence[StudyRecord], name: str) -> set[str]:
        """Return the ids of those studies that have an artifact of this name."""
        query = sa.select(ArtifactRecord.study_id).where(
            ArtifactRecord.name == name, ArtifactRecord.study_id.in_([study.id for study in studies])
        )
        with self.database.read() as session:
            return set(session.scalars(query))

    def set_label(self, who: Principal, study_id: str, label: str) -> StudyRecord:
        """Change the label of a study. The audit log records that, not the label.

        Raises:
            Refused: ``request.unknown``.
        """
        with self.database.write() as session:
            study = visible_study(session, who, study_id, lock=True)
            if study.label != label:
                study.label = label
                self._touch(study)
                audit.append(session, who.actor, "study.labelled", study_id=study_id)
            return self._loaded(session, study_id, who)

    def cancel(self, who: Principal, study_id: str) -> StudyRecord:
        """Cancel a study.

        Raises:
            Refused: ``request.unknown``; ``request.state``, it is done or failed.
        """
        with self.database.write() as session:
            study = visible_study(session, who, study_id, lock=True)
            if study.state in (State.DONE, State.FAILED):
                raise Refused("request.state", "the study is finished", got=study.state, cure="delete it")
            if study.state != State.CANCELLED:
                study.state, study.worker, study.finished_at = State.CANCELLED, None, self.clock()
                study.expires_at = expiry(self.settings, study.finished_at)
                self._touch(study)
                audit.append(session, who.actor, "study.cancelled", study_id=study_id)
            return self._loaded(session, study_id, who)

    def delete(self, who: Principal, study_id: str) -> None:
        """Hide a study, cancel its analysis, and remove its files, with those of the follow-ups that it is part of.

        Raises:
            Refused: ``request.unknown``.
        """
        with self.database.write() as session:
            hide(visible_study(session, who, study_id, lock=True), self.clock())
            audit.append(session, who.actor, "study.deleted", study_id=study_id)
            gone = drop_follow_ups(session, [study_id], who.actor)
        self.folders.remove(study_id)
        self.folders.remove_follow_ups(gone)

    def note(self, who: Principal, action: str, study_id: str | None, detail: Mapping[str, str | int]) -> None:
        """Record an access that changes no study in the audit log."""
        with self.database.write() as session:
            audit.append(session, who.actor, action, study_id=study_id, detail=detail)

    def counts(self) -> dict[State, int]:
        """Return the number of studies in each state."""
        query = sa.select(StudyRecord.state, sa.func.count()).where(StudyRecord.deleted_at.is_(None))
        with self.database.read() as session:
            found = {state: count for state, count in session.execute(query.group_by(StudyRecord.state))}
        return {state: found.get(state, 0) for state in State}

    def _require_room(self, session: Session, who: Principal) -> None:
        is_open = (StudyRecord.state.in_(OPEN), StudyRecord.deleted_at.is_(None))
        is_own = sa.func.coalesce(sa.func.sum(sa.case((StudyRecord.owner == who.owner, 1), else_=0)), 0)
        count, own = session.execute(sa.select(sa.func.count(), is_own).where(*is_open)).one()
        if count >= self.settings.queue_limit:
            raise busy(self.settings, "the queue is full")
        if who != LOCAL_PRINCIPAL and own >= self.settings.key_queue_limit:
            seconds = self.settings.retry_after_s
            raise Refused(
                "request.queue",
                "the owner of this API key has too many unfinished studies",
                expected=f"at most {self.settings.key_queue_limit}",
                cure=f"try again in {seconds} s, or cancel a study",
                headers={"Retry-After": str(seconds)},
            )

    def _take(self, new: NewStudy, study_id: str) -> None:
        """Move the folder to its final place, and flush it to disk before the study is accepted."""
        root = self.folders.study(study_id).root
        with disk_full_is_an_error(root):
            root.mkdir(parents=True, mode=0o700)
            os.replace(new.folder, self.folders.study(study_id).inputs)
            for folder in (root, root.parent, root.parent.parent):
                flush_renames(folder)

    def _record(self, who: Principal, new: NewStudy, study_id: str) -> StudyRecord:
        moment = self.clock()
        return StudyRecord(
            id=study_id,
            owner=who.owner,
            kind=new.kind,
            options=new.options.model_dump(mode="json"),
            facts=_known_facts(new),
            label=new.label,
            created_at=moment,
            updated_at=moment,
            idempotency_key=new.idempotency_key,
            request_digest=new.digest,
            inputs=[_input(item, study_id) for item in new.files],
        )

    def _touch(self, study: StudyRecord) -> None:
        study.version += 1
        study.updated_at = self.clock()

    def _loaded(self, session: Session, study_id: str, who: Principal | None = None) -> StudyRecord:
        session.flush()
        parts = (StudyRecord.inputs, StudyRecord.artifacts, StudyRecord.warnings, StudyRecord.lesions)
        options = [selectinload(part) for part in parts]
        query = sa.select(StudyRecord).where(StudyRecord.id == study_id, StudyRecord.deleted_at.is_(None))
        study = session.scalar(query.options(*options).execution_options(populate_existing=True))
        if study is None or (who is not None and study.owner != who.owner):
            raise unknown()
        return study


def hide(study: StudyRecord, moment: datetime) -> None:
    """Hide a study, withdraw it from its worker, and free its idempotency key."""
    study.deleted_at = moment
    study.worker = study.idempotency_key = None
    study.version += 1
    if not study.state.is_final:
        study.state = State.CANCELLED


def unknown() -> Refused:
    """Return the error for a study that does not exist or has another owner, without a difference."""
    return Refused("request.unknown", "the study does not exist", cure="list your studies")


def busy(settings: Settings, what: str) -> Refused:
    """Return the error for a service that is busy."""
    headers = {"Retry-After": str(settings.retry_after_s)}
    return Refused("service.busy", what, cure=f"try again in {settings.retry_after_s} s", headers=headers)


def _conditions(search: Search) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if search.label is not None:
        found.append(sa.func.lower(StudyRecord.label).contains(search.label.lower(), autoescape=True))
    if search.model is not None:
        found.append(StudyRecord.options["model"].as_string() == search.model)
    if search.state is not None:
        found.append(StudyRecord.state == search.state)
    if search.begin is not None:
        found.append(StudyRecord.created_at >= search.begin)
    if search.end is not None:
        found.append(StudyRecord.created_at < search.end)
    return found


def visible_study(session: Session, who: Principal, study_id: str, *, lock: bool = False) -> StudyRecord:
    """Return a study of an owner, locked for a change if `lock`; raises as `Studies.find`."""
    query = sa.select(StudyRecord).where(StudyRecord.id == study_id, StudyRecord.owner == who.owner)
    study = session.scalar(query.with_for_update() if lock else query)
    if study is None or study.deleted_at is not None:
        raise unknown()
    return study


def _repeated(session: Session, who: Principal, key: str | None) -> StudyRecord | None:
    """Return the study of an earlier request with this key."""
    if key is None:
        return None
    return session.scalar(
        sa.select(StudyRecord).where(StudyRecord.owner == who.owner, StudyRecord.idempotency_key == key)
    )


def _require_same(known: StudyRecord, new: NewStudy) -> None:
    if known.request_digest != new.digest:
        raise Refused(
            "request.idempotency",
            "this Idempotency-Key was used for another upload",
            where="header Idempotency-Key",
            cure="use a new key for new content",
        )


def _input(item: CheckedFile, study_id: str) -> InputRecord:
    file = item.file
    return InputRecord(
        study_id=study_id,
        number=file.number,
        kind=item.kind,
        ending=item.ending,
        sequence=file.sequence,
        bytes=file.bytes,
        sha256=file.sha256,
    )


def _known_facts(new: NewStudy) -> dict[str, Any]:
    """Return the facts known at the upload: why the model, which sequence each file is and why, gaps of pictures."""
    records = [
        {"sequence": item.file.sequence, "source": f"file {item.file.number}", "reason": item.file.reason}
        for item in new.files
        if item.kind == Kind.NIFTI and item.file.sequence is not None
    ]
    known: dict[str, Any] = {"sequence_records": records} if records else {}
    known |= {"model_reason": new.model_reason} if new.model_reason else {}
    gaps = [item.file.gap_before for item in new.files]
    return known | {"slice_gaps": gaps} if new.kind == Kind.PICTURE and any(gaps) else known


def _settle(new: NewStudy) -> None:
    """Give the files their final names and flush them to disk, before any lock is held."""
    with disk_full_is_an_error(new.folder):
        for item in new.files:
            flush_to_disk(item.file.path)
            os.replace(item.file.path, new.folder / _input(item, "").file_name)
        flush_renames(new.folder)
