"""The audit log: who did what to which study, as a hash chain.

Entry n contains ``SHA-256(previous digest, n, time, actor, action, study, detail)``. To change or remove an entry, all
later ones must be rewritten. Triggers of the database prevent that, and it would change the last digest, which
administrators can note elsewhere. Entries contain ids and codes only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from metseg.serve.storage.database import AUDIT_LOCK, Database
from metseg.serve.storage.db_models import AuditRecord

#: Previous digest of the first entry.
START = "0" * 64


@dataclass(frozen=True)
class Verdict:
    """Result of verifying the chain.

    Args:
        entries: number of valid entries from the first on.
        head: digest of the last valid entry.
        broken_at: number of the first invalid entry; None if all are valid.
    """

    entries: int
    head: str
    broken_at: int | None = None


def lock(session: Session) -> None:
    """Wait for other transactions that add entries. SQLite has only one writer at a time, so it needs no lock."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": AUDIT_LOCK})


def append(
    session: Session,
    actor: str,
    action: str,
    *,
    study_id: str | None = None,
    detail: Mapping[str, str | int] | None = None,
    at: datetime | None = None,
) -> None:
    """Add an entry in the transaction of the change that it records, so that both are committed or neither.

    Args:
        session: from `Database.write`.
        actor: the id of a key, "local", "worker" or "operator".
        action: such as ``study.accepted``.
        study_id: id of the study, if any.
        detail: ids, codes and numbers.
        at: time of the action; None: now.
    """
    lock(session)
    session.flush()
    last = session.execute(
        sa.select(AuditRecord.number, AuditRecord.digest).order_by(AuditRecord.number.desc()).limit(1)
    ).first()
    entry = AuditRecord(
        number=1 if last is None else last.number + 1,
        at=(at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds"),
        actor=actor,
        action=action,
        study_id=study_id,
        detail=json.dumps(dict(detail or {}), sort_keys=True),
        previous=START if last is None else last.digest,
    )
    entry.digest = _digest(entry)
    session.add(entry)
    session.flush()


def verify(database: Database) -> Verdict:
    """Check every entry against the one before it."""
    previous, number = START, 0
    with database.read() as session:
        for entry in session.scalars(
            sa.select(AuditRecord).order_by(AuditRecord.number).execution_options(yield_per=500)
        ):
            if entry.number != number + 1 or entry.previous != previous or entry.digest != _digest(entry):
                return Verdict(number, previous, number + 1)
            previous, number = entry.digest, entry.number
    return Verdict(number, previous)


def contains(database: Database, digest: str) -> bool:
    """Return whether an entry has this digest, to check a digest that was noted elsewhere."""
    with database.read() as session:
        return session.scalar(sa.select(AuditRecord.number).where(AuditRecord.digest == digest)) is not None


def _digest(entry: AuditRecord) -> str:
    content = [entry.previous, entry.number, entry.at, entry.actor, entry.action, entry.study_id, entry.detail]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
