"""Keyed hashes of patient ids: enough to see that two studies name different patients, and nothing to read.

The key is a file of the service, so that a hash cannot be traced by trying all patient ids without it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Final

from metseg.runtime.atomic_io import disk_full_is_an_error, flush_renames

#: Name of the file with the key, in the home of the service.
KEY_FILE: Final = "patient.key"
_KEY_BYTES: Final = 32
#: Hexadecimal digits that name the key, and those of the hash.
_KEY_NAME, _HASH = 8, 32


def patient_hash(home: Path, patient_id: str) -> str:
    """Return the hash of a patient id, with the name of its key: ``1f0c99ab:...``.

    Args:
        home: of the service; the key is made if there is none.
        patient_id: as the DICOM header has it, without spaces around it.
    Raises:
        ResourceError: ``resources.disk``.
    """
    key = _key(home / KEY_FILE)
    digest = hmac.new(key, b"patient id\0" + patient_id.encode("utf-8", "surrogateescape"), hashlib.sha256)
    return f"{_name(key)}:{digest.hexdigest()[:_HASH]}"


def differ(hashes: Sequence[str | None]) -> bool:
    """Return whether two of the studies name different patients; None is a study that names none.

    Hashes by different keys cannot be compared, for example after the key was lost.

    >>> differ(["k:1", None, "k:1"]), differ(["k:1", None, "k:2"]), differ(["k:1", "other:2"])
    (False, True, False)
    """
    known = [text.partition(":") for text in hashes if text]
    return any(one[0] == two[0] and one[2] != two[2] for one, two in combinations(known, 2))


def _key(path: Path) -> bytes:
    """Return the key of a file; several processes that make it at the same time get the same one."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with disk_full_is_an_error(path):
            try:
                _write_private(temporary, secrets.token_bytes(_KEY_BYTES))
                with suppress(FileExistsError):  # another process was faster
                    os.link(temporary, path)
                flush_renames(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
    return path.read_bytes()


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:_KEY_NAME]
