"""Stable pseudonyms for patients and studies."""

from __future__ import annotations

import hashlib
import os
import uuid

#: A secret key of the site. Without a key, identifiers can be recovered by hashing all candidates, so
#: results that leave the site should be created with a key. The same key gives the same names.
KEY_VARIABLE = "METSEG_PSEUDONYM_KEY"


def pseudonym(kind: str, *parts: str) -> str:
    """Return a pseudonym of 16 hexadecimal digits for identifiers.

    Args:
        kind: "patient", "study", and so on; equal parts of different kinds get different pseudonyms.
        parts: the identifiers, such as patient id and its issuer.

    >>> pseudonym("patient", "4711", "Hospital A") == pseudonym("patient", "4711", "Hospital A")
    True
    >>> pseudonym("patient", "4711", "Hospital A") == pseudonym("patient", "4711", "Hospital B")
    False
    """
    return _keyed_hash((kind, *parts), 8).hex()


def pseudonym_uid(uid: str) -> str:
    """Return the UID that replaces a UID of a header: the same for the same UID, in every object and every run.

    It is a UID made of a UUID, below the root 2.25 (PS3.5 B.2).

    >>> pseudonym_uid("1.2.840.4711") == pseudonym_uid("1.2.840.4711"), pseudonym_uid("1.2.840.4711")[:5]
    (True, '2.25.')
    """
    return uuid_uid(_keyed_hash(("uid", uid), 16))


def uuid_uid(digest: bytes) -> str:
    """Return the UID of a digest of at least 16 bytes, as a UUID that is named by its content (version 5)."""
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _keyed_hash(parts: tuple[str, ...], size: int) -> bytes:
    key = os.environ.get(KEY_VARIABLE, "")
    content = "\0".join(part.strip() for part in parts).encode("utf-8", "surrogateescape")
    secret = hashlib.sha256(key.encode()).digest() if key else b""
    return hashlib.blake2b(content, digest_size=size, key=secret).digest()
