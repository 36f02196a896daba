"""Store DICOM files in a PACS: each object once, each failure named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metseg.errors import InputError
from metseg.pacs.pacs_errors import PacsError
from metseg.pacs.study_records import Archive, OutgoingObject, reference_of

#: Reason of an object that was not sent because the connection ended before.
NOT_SENT: Final = "not sent: the connection ended"


@dataclass(frozen=True)
class SendReport:
    """What became of the files.

    Args:
        stored: files that the PACS has stored now.
        present: files with a UID that the PACS had already.
        failed: file to reason.
        error: why the connection ended before the last file; None: it did not.
    """

    stored: tuple[Path, ...]
    present: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]
    error: PacsError | None = None


def send_files(archive: Archive, paths: Sequence[Path]) -> SendReport:
    """Store files in a PACS, except those that it has.

    Args:
        archive: the PACS.
        paths: DICOM files, and folders of them; other files in folders are ignored.
    Raises:
        InputError: a file is absent or is no DICOM object, or there is none.
        PacsError: the PACS cannot be asked what it has. Failures of single objects are in the report.
    """
    objects = _unique(read_outgoing(path) for path in _dicom_files(paths))
    known = {
        instance.sop_uid
        for study in dict.fromkeys(item.reference.study_uid for item in objects)
        for instance in archive.find_instances(study)
    }
    absent = [item for item in objects if item.reference.sop_uid not in known]
    present = tuple(item.path for item in objects if item.reference.sop_uid in known)
    outcomes: dict[Path, str] = {}
    error: PacsError | None = None
    try:
        for item, reason in archive.store(absent) if absent else ():
            outcomes[item.path] = reason
    except PacsError as stop:
        error = stop
    reasons = [(item.path, outcomes.get(item.path, NOT_SENT)) for item in absent]
    stored = tuple(path for path, reason in reasons if not reason)
    return SendReport(stored, present, tuple(pair for pair in reasons if pair[1]), error)


def read_outgoing(path: Path) -> OutgoingObject:
    """Return the UIDs of a DICOM file.

    Raises:
        InputError: it is no DICOM object with UIDs.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=tags)
        syntax = str(header.file_meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, OSError):
        raise InputError(
            "not a DICOM file", where=path, cure="give DICOM files, such as those of metseg export", code="input.dicom"
        ) from None
    try:
        return OutgoingObject(path, reference_of(header), syntax)
    except InputError as error:
        error.where = path
        raise


def _dicom_files(paths: Sequence[Path]) -> list[Path]:
    from pydicom.misc import is_dicom

    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and is_dicom(file))
        else:
            found.append(path)
    if not found:
        raise InputError(
            "no DICOM file to send",
            where=", ".join(map(str, paths)) or None,
            cure="give DICOM files or a folder of them",
            code="input.missing",
        )
    return found


def _unique(objects: Iterable[OutgoingObject]) -> list[OutgoingObject]:
    """Return the first file of each SOP instance UID."""
    found: dict[str, OutgoingObject] = {}
    for item in objects:
        found.setdefault(item.reference.sop_uid, item)
    return list(found.values())
