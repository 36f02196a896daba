"""Stable pseudonyms for patients and studies."""

from __future__ import annotations

import hashlib
import os

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
    key = os.environ.get(KEY_VARIABLE, "")
    content = "\0".join((kind, *(part.strip() for part in parts))).encode("utf-8", "surrogateescape")
    secret = hashlib.sha256(key.encode()).digest() if key else b""
    return hashlib.blake2b(content, digest_size=8, key=secret).hexdigest()
