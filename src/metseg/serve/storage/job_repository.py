"""Repository of studies for workers: claim a study, store progress and results, and end it.

Every write carries the token of a claim, and only the latest claim may write. If another worker has claimed the study,
or it was cancelled or deleted, the next write raises `StudyWithdrawn` and changes nothing. All writes are idempotent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, object_session

from metseg.errors import MetsegError
from metseg.lesion import Lesion
from metseg.runtime.atomic_io import atomic_file, flush_renames
from metseg.schemas import Facts, Failure, Kind, Options, Phase, State, overall_progress
from metseg.serve.http.problem_details import failure_of
from metseg.serve.settings import Settings
from metseg.serve.storage import audit
from metseg.serve.storage.artifact_names import media_type_of
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import ArtifactRecord, LesionRecord, StudyRecord, WarningRecord
from metseg.serve.storage.folders import Folders, StudyFolder, sha256_of

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


def expiry(settings: Settings, finished_at: datetime) -> datetime | None:
    """Return the time when a finished study is deleted; None: never."""
    return None if settings.retention_days is None else finished_at + timedelta(days=settings.retention_days)


class StudyWithdrawn(Exception):
    """This worker no longer holds the study.

    Args:
        reason: "cancelled", "deleted", "finished", or "claimed by another".
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class WorkInput:
    """One uploaded file."""

    path: Path
    number: int
    kind: Kind
    sequence: str | None
    bytes: int
    sha256: str
    #: Why the file has this sequence, as recorded at the upload.
    reason: str = ""
    #: For pictures: whether slices are missing before this one, by the numbers in the names.
    gap_before: bool = False


@dataclass(frozen=True)
class Work:
    """A study that a worker has claimed.

    Args:
        study_id: id of the study.
        token: token of the claim, from `Store.claim`.
        kind: kind of the upload.
        options: options of the request. `model` is always set: the API fills in the default.
        inputs: uploaded files in the order of the upload.
        folder: folders `inputs`, `work` (intermediate results) and `artifacts`.
        model_reason: why the model was chosen; empty if the request named it.
    """

    study_id: str
    token: str
    kind: Kind
    options: Options
    inputs: tuple[WorkInput, ...]
    folder: StudyFolder
    model_reason: str = ""


class Store:
    """Repository of studies for workers.

    Args:
        database: from `open_database`.
        settings: limits and retention.
        clock: returns the time.
    """

    def __init__(self, database: Database, settings: Settings, *, clock: Clock = now) -> None:
        self.database = database
        self.settings = settings
        self.folders = Folders(settings.home)
        self.clock = clock

    def waiting(self, limit: int = 100) -> list[str]:
        """Return accepted studies without a workflow, oldest first."""
        wanted = (StudyRecord.state == State.QUEUED, StudyRecord.dispatched_at.is_(None))
        query = sa.select(StudyRecord.id).where(*wanted).order_by(StudyRecord.created_at, StudyRecord.id).limit(limit)
        with self.database.read() as session:
            return list(session.scalars(query))

    def mark_dispatched(self, study_id: str) -> None:
        """Record that a study has a workflow."""
        change = sa.update(StudyRecord).where(StudyRecord.id == study_id).values(dispatched_at=self.clock())
        with self.database.write() as session:
            session.execute(change)

    def claim(self, study_id: str, token: str) -> Work:
        """Claim a study; writes under earlier claims fail from now on. Each step starts with this; safe to repeat.

        Args:
            study_id: id of the study.
            token: token of this run of the worker, such as ``worker-1:3f9c...``; at most 200 characters.
        Raises:
            StudyWithdrawn: the study is cancelled, deleted or finished.
        """
        with self.database.write() as session:
            study = _require_open(self._locked(session, study_id))
            if study.state == State.QUEUED:
                study.state, study.started_at = State.RUNNING, self.clock()
                self._touch(study)
            if study.worker != token:
                study.worker, study.claims = token, study.claims + 1
            return self._work(study, token)

    def progress(self, work: Work, phase: Phase, share: float = 0.0) -> None:
        """Store phase and progress. Progress never decreases, because repeated steps report smaller values."""
        with self._change(work) as (_, study):
            study.phase = phase
            study.progress = max(study.progress, overall_progress(phase, share))

    def require(self, work: Work) -> None:
        """Raise `StudyWithdrawn` unless this worker still holds the study; for checks in long steps."""
        with self.database.read() as session:
            _require_held(session.get(StudyRecord, work.study_id), work)

    def set_warnings(self, work: Work, phase: Phase, texts: Sequence[str]) -> None:
        """Replace the warnings of a phase, without duplicates."""
        order = list(Phase).index(phase)
        with self._change(work) as (_, study):
            kept = [warning for warning in study.warnings if warning.phase != phase]
            own = [
                WarningRecord(phase=phase, number=number, phase_order=order, text=text)
                for number, text in enumerate(dict.fromkeys(texts), start=1)
            ]
            _replace(study, "warnings", kept, own)

    def set_lesions(self, work: Work, lesions: Sequence[Lesion]) -> None:
        """Replace the lesion table."""
        with self._change(work) as (_, study):
            records = [LesionRecord(number=row.id, content=row.model_dump(mode="json")) for row in lesions]
            _replace(study, "lesions", [], records)
            study.lesion_count = len(lesions)

    def add_facts(self, work: Work, **facts: Any) -> None:
        """Add facts with the names of `metseg.schemas.Facts`; durations of phases are merged."""
        with self._change(work) as (_, study):
            timings = {**study.facts.get("timings_s", {}), **facts.pop("timings_s", {})}
            merged = Facts.model_validate({**study.facts, **facts, "timings_s": timings})
            study.facts = merged.model_dump(mode="json", exclude_none=True)

    def set_patient(self, work: Work, patient_hash: str) -> None:
        """Store the hash of the patient id."""
        with self._change(work) as (_, study):
            study.patient_hash = patient_hash

    @contextmanager
    def artifact(self, work: Work, name: str) -> Iterator[Path]:
        """Yield a path to write a result to; publish the file as an artifact if the block succeeds.

        Args:
            work: the claimed study.
            name: one of `metseg.schemas.ARTIFACTS`.
        Raises:
            StudyWithdrawn: this worker no longer holds the study; the artifact is not published.
            ResourceError: ``resources.disk``.
            UsageError: no artifact has this name.
        """
        media_type = media_type_of(name)
        target = work.folder.artifacts / name
        with atomic_file(work.folder.work / name) as temporary:
            yield temporary
        written = work.folder.work / name
        size, digest = written.stat().st_size, sha256_of(written)
        with self._change(work) as (session, study):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(written, target)
            flush_renames(target.parent)  # before the database lists it
            record = ArtifactRecord(study_id=study.id, name=name, media_type=media_type, bytes=size, sha256=digest)
            record.created_at = self.clock()
            session.merge(record)

    def finish(self, work: Work) -> None:
        """Mark a study as done; all results must have been written before."""
        with self._change(work) as (session, study):
            study.progress, study.phase = 1.0, Phase.RENDER
            self._end(session, study, State.DONE)

    def fail(self, work: Work, error: MetsegError, phase: Phase | None = None) -> None:
        """Mark a study as failed; the stored error contains no paths and no names."""
        with self._change(work) as (session, study):
            study.failure = failure_of(error, phase or study.phase).model_dump(mode="json")
            self._end(session, study, State.FAILED)

    def give_up(self, study_id: str, failure: Failure) -> bool:
        """Mark a study as failed without a claim, when no worker can process it; return whether it was still open."""
        with self.database.write() as session:
            study = self._locked(session, study_id)
            if study is None or study.state.is_final or study.deleted_at:
                return False
            study.failure = failure.model_dump(mode="json")
            self._end(session, study, State.FAILED)
            return True

    def running(self, *, token_prefix: str = "") -> list[str]:
        """Return the running studies, optionally only those with a worker token of this prefix."""
        query = sa.select(StudyRecord.id).where(StudyRecord.state == State.RUNNING, StudyRecord.deleted_at.is_(None))
        if token_prefix:
            query = query.where(StudyRecord.worker.startswith(token_prefix, autoescape=True))
        with self.database.read() as session:
            return list(session.scalars(query.order_by(StudyRecord.created_at)))

    def _end(self, session: Session, study: StudyRecord, state: State) -> None:
        study.state, study.finished_at, study.worker = state, self.clock(), None
        study.expires_at = expiry(self.settings, study.finished_at)
        self._touch(study)
        detail = {"code": study.failure["code"]} if study.failure else {}
        audit.append(session, "worker", f"study.{state}", study_id=study.id, detail=detail, at=study.finished_at)

    @contextmanager
    def _change(self, work: Work) -> Iterator[tuple[Session, StudyRecord]]:
        with self.database.write() as session:
            study = _require_held(self._locked(session, work.study_id), work)
            yield session, study
            self._touch(study)

    def _locked(self, session: Session, study_id: str) -> StudyRecord | None:
        return session.scalar(sa.select(StudyRecord).where(StudyRecord.id == study_id).with_for_update())

    def _touch(self, study: StudyRecord) -> None:
        study.version += 1
        study.updated_at = self.clock()

    def _work(self, study: StudyRecord, token: str) -> Work:
        folder = self.folders.study(study.id)
        folder.work.mkdir(parents=True, exist_ok=True)
        facts = Facts.model_validate(study.facts)
        reasons = {record.source: record.reason for record in facts.sequence_records}
        gaps = facts.slice_gaps or (False,) * len(study.inputs)
        inputs = tuple(
            WorkInput(
                folder.inputs / item.file_name,
                item.number,
                item.kind,
                item.sequence,
                item.bytes,
                item.sha256,
                reason=reasons.get(f"file {item.number}", ""),
                gap_before=gap,
            )
            for item, gap in zip(study.inputs, gaps, strict=True)
        )
        options = Options.model_validate(study.options)
        return Work(study.id, token, study.kind, options, inputs, folder, model_reason=facts.model_reason)


def _require_open(study: StudyRecord | None) -> StudyRecord:
    if study is None or study.deleted_at is not None:
        raise StudyWithdrawn("deleted")
    if study.state.is_final:
        raise StudyWithdrawn("cancelled" if study.state == State.CANCELLED else "finished")
    return study


def _require_held(study: StudyRecord | None, work: Work) -> StudyRecord:
    found = _require_open(study)
    if found.worker != work.token:
        raise StudyWithdrawn("claimed by another")
    return found


def _replace(study: StudyRecord, name: str, kept: list[Any], new: list[Any]) -> None:
    """Replace rows; delete the old ones first, because the new ones may have the same keys."""
    session = object_session(study)
    setattr(study, name, kept)
    assert session is not None
    session.flush()
    setattr(study, name, [*kept, *new])
