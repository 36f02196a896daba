"""API keys with an owner and scopes. A key is shown once and stored as a hash.

A key is ``msk_<id>_<secret>``. The secret has 256 random bits, so a plain SHA-256 protects it; slow hashes are only
needed for passwords that people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from metseg.errors import UsageError
from metseg.registry import lookup
from metseg.schemas import Scope
from metseg.serve.storage import audit
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import KeyRecord
from metseg.serve.storage.job_repository import Clock, now

PREFIX = "msk"
OWNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
#: Default owner while no API key exists.
LOCAL = "local"
DEFAULT_SCOPES = (Scope.PREDICT, Scope.READ, Scope.WRITE)

_KEY = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
#: Compared with for unknown keys, so that the check takes equally long.
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Principal:
    """The authenticated caller.

    Args:
        owner: owner of the caller's studies.
        actor: name in the audit log.
        scopes: permissions.
    """

    owner: str
    actor: str
    scopes: frozenset[Scope]


#: Caller on the local machine while no API key exists.
LOCAL_PRINCIPAL = Principal(LOCAL, LOCAL, frozenset(Scope))


class Keys:
    """Repository of API keys.

    Args:
        database: from `open_database`.
        clock: returns the time.
    """

    def __init__(self, database: Database, *, clock: Clock = now) -> None:
        self.database = database
        self.clock = clock

    def add(self, owner: str, scopes: Sequence[str] = DEFAULT_SCOPES, *, days: float | None = None) -> str:
        """Create a key and return it. It cannot be shown again.

        Args:
            owner: owner of the studies that the key gives access to; not a patient's name. An owner may have several
                keys.
            scopes: values of `metseg.schemas.Scope`.
            days: days until the key expires; None: it does not expire.
        Raises:
            UsageError: an invalid owner or an unknown scope.
        """
        if not OWNER.fullmatch(owner):
            raise UsageError(
                "the name of the owner is not valid",
                expected="lower-case letters, digits, . _ - (at most 63)",
                cure="choose a simple name, such as that of a ward or of a program",
                code="usage.owner",
            )
        known = {scope.value: scope for scope in Scope}
        chosen = sorted({lookup("scope", known, str(scope)).value for scope in scopes})
        key_id, secret, moment = secrets.token_hex(6), secrets.token_urlsafe(32), self.clock()
        ends = None if days is None else moment + timedelta(days=days)
        record = KeyRecord(id=key_id, owner=owner, scopes=chosen, digest=_digest(secret), created_at=moment)
        record.expires_at = ends
        with self.database.write() as session:
            session.add(record)
            audit.append(session, "operator", "key.added", detail={"key": key_id, "owner": owner})
        return f"{PREFIX}_{key_id}_{secret}"

    def all(self) -> list[KeyRecord]:
        """Return all keys, including revoked and expired ones, oldest first."""
        with self.database.read() as session:
            return list(session.scalars(sa.select(KeyRecord).order_by(KeyRecord.created_at, KeyRecord.id)))

    def revoke(self, key_id: str) -> None:
        """Revoke a key permanently.

        Raises:
            UsageError: the key does not exist.
        """
        with self.database.write() as session:
            record = session.get(KeyRecord, key_id)
            if record is None:
                raise UsageError(
                    "the key does not exist", where=key_id, cure="see metseg serve keys list", code="usage.key"
                )
            record.revoked_at = record.revoked_at or self.clock()
            audit.append(session, "operator", "key.revoked", detail={"key": key_id, "owner": record.owner})

    def any(self) -> bool:
        """Return whether a key was ever created; from then on, requests need one."""
        with self.database.read() as session:
            return session.scalar(sa.select(KeyRecord.id).limit(1)) is not None

    def holder(self, key: str) -> Principal | None:
        """Return the principal of a key; None for unknown, revoked and expired keys."""
        match = _KEY.fullmatch(key)
        key_id, secret = match.groups() if match else ("", "")
        with self.database.read() as session:
            record = session.get(KeyRecord, key_id)
        fits = hmac.compare_digest(_digest(secret), _NOBODY if record is None else record.digest)
        if record is None or not fits or not _holds(record, self.clock()):
            return None
        return Principal(record.owner, f"key {record.id}", frozenset(Scope(scope) for scope in record.scopes))


def _holds(record: KeyRecord, moment: datetime) -> bool:
    return record.revoked_at is None and (record.expires_at is None or record.expires_at > moment)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
