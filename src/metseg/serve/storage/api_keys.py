"""API keys: shown once, kept as a hash, with an owner and scopes.

A key is ``msk_<id>_<secret>``. The secret is 256 random bits, so that a plain SHA-256 of it tells nothing; slow hashes
are for passwords that people think up.
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
#: Whose everything is while there is no key.
LOCAL = "local"
DEFAULT_SCOPES = (Scope.PREDICT, Scope.READ, Scope.WRITE)

_KEY = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
#: Compared with where there is no such key, so that this takes as long as where there is one.
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Principal:
    """Who calls.

    Args:
        owner: whose studies these are.
        actor: what the audit log says.
        scopes: what is allowed.
    """

    owner: str
    actor: str
    scopes: frozenset[Scope]


#: Whoever sits at the machine, while there is no key.
LOCAL_PRINCIPAL = Principal(LOCAL, LOCAL, frozenset(Scope))


class Keys:
    """The keys in the records.

    Args:
        database: from `open_database`.
        clock: what time it is.
    """

    def __init__(self, database: Database, *, clock: Clock = now) -> None:
        self.database = database
        self.clock = clock

    def add(self, owner: str, scopes: Sequence[str] = DEFAULT_SCOPES, *, days: float | None = None) -> str:
        """Make a key and return it: the only time that it can be seen.

        Args:
            owner: whose studies it opens; several keys may have one owner. No patient's name.
            scopes: of `metseg.schemas.Scope`.
            days: after which it no longer holds; None: it holds until it is revoked.
        Raises:
            UsageError: an owner that is no plain word, or an unknown scope.
        """
        if not OWNER.fullmatch(owner):
            raise UsageError(
                "an owner cannot be called so",
                expected="small letters, digits, . _ - (at most 63)",
                cure="choose a plain word, such as the name of a ward or of a program",
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
        """Return every key there ever was, oldest first."""
        with self.database.read() as session:
            return list(session.scalars(sa.select(KeyRecord).order_by(KeyRecord.created_at, KeyRecord.id)))

    def revoke(self, key_id: str) -> None:
        """Make a key invalid for good.

        Raises:
            UsageError: there is no such key.
        """
        with self.database.write() as session:
            record = session.get(KeyRecord, key_id)
            if record is None:
                raise UsageError("no such key", where=key_id, cure="see metseg serve keys list", code="usage.key")
            record.revoked_at = record.revoked_at or self.clock()
            audit.append(session, "operator", "key.revoked", detail={"key": key_id, "owner": record.owner})

    def any(self) -> bool:
        """Return whether there ever was a key: from then on, nobody gets in without one."""
        with self.database.read() as session:
            return session.scalar(sa.select(KeyRecord.id).limit(1)) is not None

    def holder(self, key: str) -> Principal | None:
        """Return who holds a key; None where it is none of ours, revoked or over."""
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
