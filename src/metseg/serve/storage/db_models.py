"""The tables of the service. Pixels are on disk; here is who owns what, how far it is and what came of it.

No column holds a file name, a path or anything out of a header: files have numbers, studies random ids, owners the
name that was given to a key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
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

#: Constraints have names, so that migrations can speak of them.
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone: SQLite forgets the zone, and two databases must give the same."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("times have a zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _words(kind: type[StrEnum]) -> Enum:
    """Return the type of a column that holds one of some words, as text that people can read."""
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
    """A study. It is accepted when its row is committed, and from then on never lost."""

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
    #: Counts every change that a client can see: the ETag.
    version: Mapped[int] = mapped_column(default=1)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    lesion_count: Mapped[int | None]

    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    #: When a workflow was made for it; None: it waits for one.
    dispatched_at: Mapped[datetime | None]
    #: When its owner deleted it or its time was over: nobody sees it any more, and its files go.
    deleted_at: Mapped[datetime | None]

    #: Who works on it: only writes under this token are taken.
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
    """One uploaded file; it lies in ``inputs/`` of its study as its number and an ending."""

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
    """One result; it lies in ``artifacts/`` of its study under its name."""

    __tablename__ = "study_artifacts"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class WarningRecord(Record):
    """Something noticed in a phase."""

    __tablename__ = "study_warnings"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    phase: Mapped[Phase] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    phase_order: Mapped[int]
    text: Mapped[str] = mapped_column(Text)


class LesionRecord(Record):
    """One lesion, as `metseg.lesion.Lesion`."""

    __tablename__ = "study_lesions"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]


class WorkerRecord(Record):
    """A worker and when it was last heard of."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Told anew at each start: what tells two lives of one worker apart.
    incarnation: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    #: What it is doing, for people: models loaded, threads.
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class KeyRecord(Record):
    """An API key. The secret itself is nowhere."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]]
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditRecord(Record):
    """One entry of the audit log; the database itself refuses to change or remove one."""

    __tablename__ = "audit_log"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(40))
    study_id: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
