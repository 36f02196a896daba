"""What is asked of a PACS and what it answers, the same for DICOMweb and DIMSE."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from metseg.errors import InputError, UsageError

#: A DICOM UID. UIDs of others become names of files, so nothing else passes.
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH: Final = 64
#: A date, or a range of dates with one end or two.
_DATES: Final = re.compile(r"(\d{8})?(-(\d{8})?)?")


@dataclass(frozen=True)
class StudyQuery:
    """Conditions of a search; empty ones are not asked. ``*`` and ``?`` are wildcards.

    Args:
        patient_id: id of the patient.
        dates: ``20260131``, ``20260101-20260131``, ``20260101-`` or ``-20260131``.
        description: of the study.
        modality: one that the study contains, such as ``MR``.
        accession: accession number.
        study_uid: UID of the study.
        patient_name: as DICOM writes it, ``Family^Given``.
    Raises:
        UsageError: not a date or a range of dates.
    """

    patient_id: str = field(default="", repr=False)
    dates: str = ""
    description: str = field(default="", repr=False)
    modality: str = ""
    accession: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _DATES.fullmatch(self.dates) or self.dates == "-":
            expected = "YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD"
            raise UsageError("not a date or range of dates", expected=expected, got=self.dates, code="usage.date")

    def filters(self) -> Mapping[str, str]:
        """Return the conditions by DICOM keyword.

        >>> dict(StudyQuery(modality="MR", dates="20260101-").filters())
        {'StudyDate': '20260101-', 'ModalitiesInStudy': 'MR'}
        """
        given = {
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "StudyDate": self.dates,
            "StudyDescription": self.description,
            "ModalitiesInStudy": self.modality,
            "AccessionNumber": self.accession,
            "StudyInstanceUID": self.study_uid,
        }
        return {keyword: value for keyword, value in given.items() if value}


#: Keywords of a study that are asked for.
STUDY_KEYWORDS: Final = (
    "StudyInstanceUID", "StudyDate", "PatientID", "PatientName", "StudyDescription", "ModalitiesInStudy",
    "AccessionNumber", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
)  # fmt: skip


@dataclass(frozen=True)
class StudyRecord:
    """A study as the PACS lists it. It identifies a patient: show it to the caller only.

    Args:
        study_uid: UID.
        date: ``YYYYMMDD``, or empty.
        patient_id, description, accession, patient_name: texts, or empty.
        modalities: of its series.
        series, instances: counts; None: not known.
    """

    study_uid: str
    date: str
    patient_id: str = field(repr=False)
    description: str = field(repr=False)
    modalities: tuple[str, ...]
    accession: str = field(repr=False)
    series: int | None
    instances: int | None
    patient_name: str = field(default="", repr=False)


@dataclass(frozen=True)
class InstanceReference:
    """One object of a study.

    Args:
        study_uid, series_uid, sop_uid: UIDs.
        class_uid: UID of its SOP class; empty: not known.
    """

    study_uid: str
    series_uid: str
    sop_uid: str
    class_uid: str = ""


@dataclass(frozen=True)
class OutgoingObject:
    """A DICOM file to store.

    Args:
        path: the file.
        reference: what it is.
        syntax_uid: UID of its transfer syntax.
    """

    path: Path
    reference: InstanceReference
    syntax_uid: str


class Archive(Protocol):
    """A PACS. Every method raises a `PacsError`."""

    def echo(self) -> None:
        """Test the connection, the titles and the credentials."""

    def find_studies(self, query: StudyQuery) -> tuple[StudyRecord, ...]:
        """Return the studies that match, in the order of the PACS."""

    def find_instances(self, study_uid: str) -> tuple[InstanceReference, ...]:
        """Return the objects of a study; empty if the PACS does not have it."""

    def fetch(self, wanted: Sequence[InstanceReference], whole_series: bool, keep: Callable[[Any], None]) -> None:
        """Retrieve objects of one series, and call `keep` with each as a pydicom file dataset.

        Args:
            wanted: the objects, all of one series.
            whole_series: whether these are all objects of the series.
            keep: stores an object.
        """

    def store(self, objects: Sequence[OutgoingObject]) -> Iterator[tuple[OutgoingObject, str]]:
        """Store objects, and yield each with the reason of its failure; an empty reason if it is stored."""


def record_of(dataset: Any) -> StudyRecord:
    """Return the record of an answer to a study query; absent elements are empty."""
    modalities = dataset.get("ModalitiesInStudy") or ()
    values = [modalities] if isinstance(modalities, str) else modalities
    return StudyRecord(
        _text(dataset, "StudyInstanceUID"),
        _text(dataset, "StudyDate"),
        _text(dataset, "PatientID"),
        _text(dataset, "StudyDescription"),
        tuple(str(value) for value in values),
        _text(dataset, "AccessionNumber"),
        _count(dataset, "NumberOfStudyRelatedSeries"),
        _count(dataset, "NumberOfStudyRelatedInstances"),
        _text(dataset, "PatientName"),
    )


def reference_of(dataset: Any) -> InstanceReference:
    """Return the UIDs of an object or of an answer to an instance query.

    Raises:
        InputError: a UID is absent or is not a UID.
    """
    return InstanceReference(
        require_uid(_text(dataset, "StudyInstanceUID")),
        require_uid(_text(dataset, "SeriesInstanceUID")),
        require_uid(_text(dataset, "SOPInstanceUID")),
        _text(dataset, "SOPClassUID"),
    )


def require_uid(text: str) -> str:
    """Return a UID.

    Raises:
        InputError: it is not one.

    >>> require_uid("1.2.840.10008.1.1")
    '1.2.840.10008.1.1'
    """
    if len(text) > _UID_LENGTH or not _UID.fullmatch(text):
        raise InputError(
            "not a DICOM UID" if text else "a DICOM UID is missing",
            expected="digits and points, at most 64",
            cure="leave the object out, or correct it",
            code="input.uid",
        )
    return text


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _count(dataset: Any, keyword: str) -> int | None:
    text = _text(dataset, keyword)
    return int(text) if text.isdigit() else None
