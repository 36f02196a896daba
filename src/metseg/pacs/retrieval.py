"""Retrieve a study into a folder: each object is written atomically; present ones are skipped."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metseg.pacs.pacs_errors import PacsError, no_such_study
from metseg.pacs.study_records import Archive, InstanceReference, reference_of, require_uid
from metseg.runtime.atomic_io import write_bytes


@dataclass(frozen=True)
class Retrieved:
    """What a folder holds of a study.

    Args:
        folder: of the study.
        expected: objects that the PACS lists.
        present: objects that were there before.
        written: objects that were retrieved now.
    """

    folder: Path
    expected: int
    present: int
    written: int


def retrieve_study(archive: Archive, study_uid: str, out: Path) -> Retrieved:
    """Retrieve the objects of a study that a folder lacks.

    Args:
        archive: the PACS.
        study_uid: UID of the study.
        out: folder; the study goes to ``out/STUDY_UID/SERIES_UID/SOP_UID.dcm``.
    Raises:
        PacsError: ``pacs.not_found``; ``pacs.incomplete``: fewer objects arrived than the PACS lists; what arrived is
            kept, and another call continues.
    """
    folder = out / require_uid(study_uid)
    listed = archive.find_instances(study_uid)
    if not listed:
        raise no_such_study(str(archive))
    missing = [reference for reference in listed if not is_present(out, reference)]
    wanted = {reference.sop_uid for reference in missing}
    written: set[str] = set()

    def keep(dataset: Any) -> None:
        reference = reference_of(dataset)
        # A PACS that sends more than requested does not write outside the study.
        if reference.study_uid == study_uid and reference.sop_uid in wanted:
            write_bytes(place_of(out, reference), encode_file(dataset))
            written.add(reference.sop_uid)

    all_series = _by_series(listed)
    for series, references in _by_series(missing).items():
        archive.fetch(references, len(references) == len(all_series[series]), keep)
    if len(written) < len(missing):
        raise PacsError(
            "the PACS did not send all objects of the study",
            where=str(archive),
            expected=len(missing),
            got=len(written),
            cure="run the command again: objects that are there are skipped",
            code="pacs.incomplete",
        )
    return Retrieved(folder, len(listed), len(listed) - len(missing), len(written))


def place_of(out: Path, reference: InstanceReference) -> Path:
    """Return the file of an object; its name has UIDs only."""
    return out / reference.study_uid / reference.series_uid / f"{reference.sop_uid}.dcm"


def is_present(out: Path, reference: InstanceReference) -> bool:
    """Return whether the file of an object is there and holds this object."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    path = place_of(out, reference)
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
    except (OSError, InvalidDicomError):
        return False
    return bool(header.get("SOPInstanceUID") == reference.sop_uid)


def encode_file(dataset: Any) -> bytes:
    """Return a pydicom dataset with file meta information as the bytes of a file."""
    from pydicom import dcmwrite

    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _by_series(references: Iterable[InstanceReference]) -> Mapping[str, list[InstanceReference]]:
    found: defaultdict[str, list[InstanceReference]] = defaultdict(list)
    for reference in references:
        found[reference.series_uid].append(reference)
    return found


def stored_objects(folder: Path) -> list[Path]:
    """Return the complete objects below a folder, sorted; the names of files being written begin with a dot."""
    return sorted(folder.rglob("[!.]*.dcm"))
