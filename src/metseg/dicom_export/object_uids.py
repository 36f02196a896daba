"""UIDs of new objects, derived from their content: equal content has equal UIDs in every run."""

from __future__ import annotations

import hashlib
import io

from pydicom import Dataset, dcmwrite
from pydicom.uid import UID

from metseg.io.dicom.pseudonyms import uuid_uid

#: The UID that an object has until `stamp_uid` replaces it.
UNSTAMPED = "2.25.1"


def derived_uid(*parts: str | bytes) -> str:
    """Return the UID of some content.

    >>> derived_uid("series", b"mask") == derived_uid("series", b"mask") != derived_uid("series", b"another mask")
    True
    """
    state = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else part.encode()
        state.update(len(content).to_bytes(8, "big") + content)
    return uuid_uid(state.digest())


def stamp_uid(dataset: Dataset) -> None:
    """Give an object the UID of its own bytes, written with `UNSTAMPED` in the place of the UID."""
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(UNSTAMPED)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(derived_uid("object", encoded(dataset)))


def encoded(dataset: Dataset) -> bytes:
    """Return an object as the bytes of its file."""
    content = io.BytesIO()
    dcmwrite(content, dataset, enforce_file_format=True)
    return content.getvalue()
