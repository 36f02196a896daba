"""Names for patients and studies that say nothing of who they are, and are the same each time."""

from __future__ import annotations

import hashlib
import os

#: A secret of the site. Identifiers are few enough to be guessed one by one from a hash that anybody can compute, so
#: results that leave the site should be made with a key; the same key gives the same names.
KEY_VARIABLE = "METSEG_PSEUDONYM_KEY"


def pseudonym(kind: str, *parts: str) -> str:
    """Return 16 hexadecimal digits that stand for identifiers.

    Args:
        kind: what is named ("patient", "study"); equal parts of two kinds have different names.
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
