"""Headers of the DICOM series that a result belongs to: geometry, references and, on request, the patient."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from metseg.errors import GeometryError, InputError
from metseg.geometry import Grid, spacing_mm
from metseg.io.dicom.dicom_files import DicomReader
from metseg.io.dicom.elements import damage_named, read_header
from metseg.io.dicom.instance_reader import Frame
from metseg.io.dicom.pseudonyms import pseudonym_uid
from metseg.io.dicom.series import plan_series
from metseg.io.dicom.series_splitting import Series

#: Whom the objects name: a pseudonym, or the patient of the source by the choice of the operator.
Identity = Literal["pseudonym", "keep"]

#: Character set of every object: UTF-8.
UTF_8: Final = "ISO_IR 192"

#: Technical elements, which are copied always.
_TECHNICAL: Final = ("SOPClassUID", "Modality", "Rows", "Columns", "LossyImageCompression", "NumberOfFrames")
#: UIDs, which are copied or replaced by pseudonyms.
_UIDS: Final = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
#: Groups of a multi-frame object that describe its geometry; all others may hold anything.
_GEOMETRY_GROUPS: Final = ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")
#: Patient and study, which are copied only where the identity is kept.
# fmt: off
IDENTITY_KEYWORDS: Final = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex",
    "PatientComments", "PatientAge", "PatientSize", "PatientWeight", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "PatientIdentityRemoved", "DeidentificationMethod",
    "LongitudinalTemporalInformationModified",
)
# fmt: on
#: Elements that every object has, with or without a value (type 2).
_ALWAYS: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
#: DeidentificationMethod of objects that name a pseudonym instead of the patient.
PSEUDONYM_METHOD: Final = "metseg: technical elements and pseudonyms"
#: PatientSex has these values only.
_SEXES: Final = ("M", "F", "O")
#: PatientAge has this form only; scanners and converters write others.
_AGE: Final = r"\d{3}[DWMY]"
#: What a decoder writes for bytes that are no text.
REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True)
class Reference:
    """The picture that a slice was read from.

    Args:
        sop_class, sop_instance: UIDs, as the objects will name them.
        frame: number of the frame in a multi-frame object, from 1; None: a single picture.
    """

    sop_class: str
    sop_instance: str
    frame: int | None = None


@dataclass(frozen=True)
class SourceHeaders:
    """The series of a result, as its objects refer to it.

    Args:
        headers: without pixels, by slice; of a multi-frame object one. They name no person; UIDs are those that the
            objects refer to.
        patient: patient and study as the objects name them.
        references: by slice.
        affine: (4, 4) voxel-to-RAS of the grid, mm; axes are column, row, slice.
        shape: (X, Y, Z) of the grid.
    """

    headers: tuple[Dataset, ...]
    patient: Dataset
    references: tuple[Reference, ...]
    affine: npt.NDArray[np.float64]
    shape: tuple[int, int, int]

    @property
    def first(self) -> Dataset:
        """Return the header of the first slice."""
        return self.headers[0]

    @property
    def grid(self) -> Grid:
        return Grid(self.shape, self.affine)

    @property
    def step_mm(self) -> float:
        """Return the distance of neighbouring slices in mm."""
        return spacing_mm(self.affine)[2]

    @property
    def is_multi_frame(self) -> bool:
        return self.references[0].frame is not None


def read_source_headers(series: Series, *, identity: Identity = "pseudonym") -> SourceHeaders:
    """Read what the objects of a result need of its source; no pixels are read.

    Args:
        series: the series that the result shares its grid with.
        identity: ``pseudonym`` replaces patient and UIDs and empties all else that may name a person; ``keep`` gives
            patient and study back as they are.
    Raises:
        InputError: ``export.interpolated``, slices of the grid have no picture; ``export.multi_frame``, the slices are
            a part of a multi-frame object or of several; ``export.character_set``, the patient's name cannot be
            decoded; else as `metseg.io.dicom.series.plan_series`.
        GeometryError: ``export.no_frame_of_reference``.
    """
    arrangement = plan_series(series, allow_gaps=True).arrangement
    if arrangement.missing or not arrangement.is_even:
        raise InputError(
            "slices of the result were interpolated, so there is no picture to refer to",
            where=series.name,
            expected=f"{arrangement.count} pictures",
            got=len(arrangement.groups),
            cure="use the complete series, or the NIfTI mask",
            code="export.interpolated",
        )
    frames = [series.frames[group[0]] for group in arrangement.groups]
    _require_one_kind(frames, series)
    sources = _read_headers(frames, identity)
    headers = [_technical(source, series, identity) for source in sources]
    step_mm = float(np.linalg.norm(arrangement.affine[:3, 2]))
    for header in headers:
        _state_step(header, step_mm)
    pixels = frames[0].pixels
    return SourceHeaders(
        tuple(headers),
        _patient(sources[0], series) if identity == "keep" else _pseudonymous(series),
        tuple(_references(headers, frames)),
        arrangement.affine,
        (pixels.columns, pixels.rows, len(frames)),
    )


def _require_one_kind(frames: Sequence[Frame], series: Series) -> None:
    """Refuse slices that are not single pictures and not all frames of one object."""
    if all(frame.pixels.frames == 1 for frame in frames):
        return
    objects = {frame.place for frame in frames}
    if len(objects) == 1 and len(frames) == frames[0].pixels.frames:
        return
    raise InputError(
        "the slices are a part of a multi-frame object",
        where=series.name,
        expected="one picture per file, or all frames of one object",
        got=f"{len(frames)} slices of {len(objects)} objects",
        cure="export the series as classic MR images, one file per slice, or use the NIfTI mask",
        code="export.multi_frame",
    )


def _read_headers(frames: Sequence[Frame], identity: Identity) -> list[Dataset]:
    """Return the header of each single picture, or of the one multi-frame object."""
    wanted = (*_TECHNICAL, *_UIDS, *_GROUPS, *_PLACE, *(IDENTITY_KEYWORDS if identity == "keep" else ()))
    headers = []
    with DicomReader() as reader:
        for frame in frames if frames[0].pixels.frames == 1 else frames[:1]:
            with reader.open(frame.place) as stream, damage_named():
                headers.append(read_header(stream, wanted)[0])
    return headers


#: Place of a single picture.
_PLACE: Final = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def _technical(source: Dataset, series: Series, identity: Identity) -> Dataset:
    """Return a header with its geometry, its UIDs or their pseudonyms, and empty elements of patient and study."""
    header = Dataset()
    header.SpecificCharacterSet = UTF_8
    with damage_named():
        for keyword in (*_TECHNICAL, *_PLACE):
            if keyword in source:
                header.add(source[keyword])
        _copy_groups(source, header)
        for keyword in _UIDS:
            value = str(source.get(keyword) or "")
            if not value:
                raise _no_uid(keyword, series)
            setattr(header, keyword, UID(pseudonym_uid(value) if identity == "pseudonym" else value))
    for keyword in _ALWAYS:
        setattr(header, keyword, "")
    return header


def _pseudonymous(series: Series) -> Dataset:
    """Return the elements of a patient with a pseudonym."""
    patient = Dataset()
    for keyword in _ALWAYS:
        setattr(patient, keyword, "")
    patient.PatientID = f"patient-{series.patient}"
    patient.PatientName = f"{patient.PatientID}^"  # a name of one component ends like this
    patient.StudyID = series.study
    patient.PatientIdentityRemoved = "YES"
    patient.DeidentificationMethod = PSEUDONYM_METHOD
    patient.LongitudinalTemporalInformationModified = "REMOVED"
    return patient


def _copy_groups(source: Dataset, header: Dataset) -> None:
    """Copy the functional groups that describe the geometry."""
    for keyword in _GROUPS:
        if keyword not in source:
            continue
        items = []
        for item in source[keyword].value:
            kept = Dataset()
            for group in _GEOMETRY_GROUPS:
                if group in item:
                    kept.add(item[group])
            items.append(kept)
        setattr(header, keyword, items)


def _patient(source: Dataset, series: Series) -> Dataset:
    """Return patient and study as the source names them, as text in UTF-8.

    Raises:
        InputError: ``export.character_set``.
    """
    patient = Dataset()
    patient.SpecificCharacterSet = UTF_8
    for keyword in _ALWAYS:
        setattr(patient, keyword, "")
    with damage_named():
        source.decode()
        for keyword in IDENTITY_KEYWORDS:
            if keyword not in source:
                continue
            text = _as_text(source[keyword].value)
            if REPLACEMENT in str(text):
                raise InputError(
                    "the text of a header does not fit its character set",
                    where=f"{series.name}, {keyword}",
                    cure="correct the character set (0008,0005) of the files, or export with pseudonyms",
                    code="export.character_set",
                )
            setattr(patient, keyword, text)
    if patient.PatientSex not in _SEXES:
        patient.PatientSex = ""
    if not re.fullmatch(_AGE, str(patient.get("PatientAge", ""))):
        patient.pop("PatientAge", None)
    return patient


def _as_text(value: Any) -> Any:
    """Return a value without the character set that it was decoded by."""
    if value is None:
        return ""
    return [str(part) for part in value] if isinstance(value, MultiValue) else str(value)


def _no_uid(keyword: str, series: Series) -> InputError:
    kind = GeometryError if keyword == "FrameOfReferenceUID" else InputError
    return kind(
        "the images lack a UID that results refer to",
        where=series.name,
        expected=keyword,
        cure="export the original series; a converter has removed the UID",
        code="export.no_frame_of_reference" if keyword == "FrameOfReferenceUID" else "export.no_uid",
    )


def _state_step(header: Dataset, step_mm: float) -> None:
    """State the true distance of the slices, which scanners store in several ways."""
    text = f"{step_mm:.10g}"
    if "ImagePositionPatient" in header:
        header.SliceThickness = header.SpacingBetweenSlices = text
    for keyword in _GROUPS:
        for item in header.get(keyword, ()):
            for measures in item.get("PixelMeasuresSequence", ()):
                measures.SliceThickness = measures.SpacingBetweenSlices = text


def _references(headers: Sequence[Dataset], frames: Sequence[Frame]) -> list[Reference]:
    of_objects = [Reference(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in headers]
    if len(of_objects) == len(frames) and frames[0].pixels.frames == 1:
        return of_objects
    return [replace(of_objects[0], frame=frame.number + 1) for frame in frames]
