"""Tables of the service: owners, progress and results of studies. Images are stored as files.

No column contains file names, paths or header values: files have numbers, studies have random ids, and owners have the
name given to their key.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from metseg.schemas import Kind, Phase, State

#: Naming convention of constraints, which migrations need.
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Time zone aware time in UTC for both databases; SQLite does not store the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("times must have a time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _words(kind: type[StrEnum]) -> Enum:
    """Return a column type that stores an enum as readable text."""
    return Enum(
        kind, native_enum=False, length=16, values_callable=lambda members: [member.value for member in members]
    )


class Record(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - the base class wants it so
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        Kind: _words(Kind),
        State: _words(State),
        Phase: _words(Phase),
    }


class StudyRecord(Record):
    """A study. Committing its row accepts it durably."""

    __tablename__ = "studies"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key", name="uq_studies_owner_idempotency_key"),
        Index("ix_studies_owner_created_at", "owner", "created_at"),
        Index("ix_studies_state", "state"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    kind: Mapped[Kind]
    state: Mapped[State] = mapped_column(default=State.QUEUED)
    phase: Mapped[Phase] = mapped_column(default=Phase.RECEIVE)
    progress: Mapped[float] = mapped_column(default=0.0)
    #: Counts every change visible to clients; used as ETag.
    version: Mapped[int] = mapped_column(default=1)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    lesion_count: Mapped[int | None]
    #: Given by the user; never a patient's name.
    label: Mapped[str] = mapped_column(String(60), default="", server_default="")
    #: Of the patient id in the DICOM headers, see `metseg.serve.storage.patient_identity`; None: not known.
    patient_hash: Mapped[str | None] = mapped_column(String(64))

    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    #: Time when a workflow was created; None: not yet.
    dispatched_at: Mapped[datetime | None]
    #: Time of deletion or expiry. The study is hidden from then on, and its files are removed.
    deleted_at: Mapped[datetime | None]

    #: Token of the worker that holds the study; writes with other tokens are rejected.
    worker: Mapped[str | None] = mapped_column(String(200))
    claims: Mapped[int] = mapped_column(default=0)

    idempotency_key: Mapped[str | None] = mapped_column(String(64))
    request_digest: Mapped[str] = mapped_column(String(64))

    inputs: Mapped[list[InputRecord]] = relationship(order_by="InputRecord.number", cascade="all, delete-orphan")
    artifacts: Mapped[list[ArtifactRecord]] = relationship(order_by="ArtifactRecord.name", cascade="all, delete-orphan")
    warnings: Mapped[list[WarningRecord]] = relationship(
        order_by="WarningRecord.phase_order, WarningRecord.number", cascade="all, delete-orphan"
    )
    lesions: Mapped[list[LesionRecord]] = relationship(order_by="LesionRecord.number", cascade="all, delete-orphan")


class InputRecord(Record):
    """An uploaded file, stored in ``inputs/`` of its study under its number."""

    __tablename__ = "study_inputs"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[Kind]
    ending: Mapped[str] = mapped_column(String(16))
    sequence: Mapped[str | None] = mapped_column(String(32))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))

    @property
    def file_name(self) -> str:
        return f"{self.number:04d}{self.ending}"


class ArtifactRecord(Record):
    """A result, stored in ``artifacts/`` of its study under its name."""

    __tablename__ = "study_artifacts"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class WarningRecord(Record):
    """A warning of a phase."""

    __tablename__ = "study_warnings"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    phase: Mapped[Phase] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    phase_order: Mapped[int]
    text: Mapped[str] = mapped_column(Text)


class LesionRecord(Record):
    """A lesion in the format of `metseg.lesion.Lesion`."""

    __tablename__ = "study_lesions"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]


class VersionRecord(Record):
    """A corrected version of a study; it never changes. Version 0, the model's result, has no row."""

    __tablename__ = "study_versions"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[int]
    #: Name of its folder below ``versions/``, random.
    folder: Mapped[str] = mapped_column(String(32))
    source: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime]
    #: Id of the API key; "local" without keys.
    actor: Mapped[str] = mapped_column(String(80))
    #: As the client stated it.
    author: Mapped[str] = mapped_column(String(80))
    note: Mapped[str] = mapped_column(Text)
    edits: Mapped[list[Any]] = mapped_column(JSON)
    mask_sha256: Mapped[str | None] = mapped_column(String(64))
    #: The fields ``grown``, ``table`` and ``comparison`` of `metseg.version_schemas.Version`.
    content: Mapped[dict[str, Any]]
    artifacts: Mapped[list[Any]] = mapped_column(JSON)


class FollowUpRecord(Record):
    """Finished studies of one patient, compared; it never changes. It goes with the first of its studies that goes."""

    __tablename__ = "follow_ups"
    __table_args__ = (Index("ix_follow_ups_owner_created_at", "owner", "created_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    #: Given by the user; never a patient's name.
    label: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime]
    #: The fields of the same names of `metseg.follow_up_schemas.StoredFollowUp`.
    headline: Mapped[list[str]]
    changes: Mapped[list[Any]] = mapped_column(JSON)
    artifacts: Mapped[list[Any]] = mapped_column(JSON)

    examinations: Mapped[list[ExaminationRecord]] = relationship(
        order_by="ExaminationRecord.place", cascade="all, delete-orphan"
    )


class ExaminationRecord(Record):
    """An examination of a follow-up."""

    __tablename__ = "follow_up_examinations"
    __table_args__ = (Index("ix_follow_up_examinations_study_id", "study_id"),)

    follow_up_id: Mapped[str] = mapped_column(ForeignKey("follow_ups.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    version: Mapped[int]
    name: Mapped[str] = mapped_column(String(80))
    day: Mapped[date | None] = mapped_column(Date)

    study: Mapped[StudyRecord] = relationship()


class WorkerRecord(Record):
    """A worker and its last heartbeat."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Random for each start, to tell runs of the same worker apart.
    incarnation: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    #: Information for administrators: machine, process, threads.
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class KeyRecord(Record):
    """An API key. The secret itself is not stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]]
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditRecord(Record):
    """An entry of the audit log. Triggers prevent changing and removing entries."""

    __tablename__ = "audit_log"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(40))
    study_id: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
