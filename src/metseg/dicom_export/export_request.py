"""What one export is made of, and what all objects have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from metseg.dicom_export.object_uids import UNSTAMPED, derived_uid, stamp_uid
from metseg.dicom_export.result_content import ResultContent
from metseg.dicom_export.source_headers import IDENTITY_KEYWORDS, UTF_8, SourceHeaders
from metseg.dicom_export.structures import StructureMap, class_structures, lesion_structures
from metseg.disclaimer import NOTICE
from metseg.recipe import Frozen
from metseg.version import __version__

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence

#: What a margin becomes: a planning target volume, or a structure that only controls.
MarginKind = Literal["ptv", "control"]

MANUFACTURER: Final = "The metseg developers"
#: Implementation of the files; its UID is derived once from the name of the project.
IMPLEMENTATION_UID: Final = derived_uid("implementation", "metseg")
#: Longest text of a value with the representation LO, and SH.
LONG_STRING, SHORT_STRING = 64, 16
#: Start of the series numbers; scanners use small ones.
FIRST_SERIES_NUMBER: Final = 9001


class ExportOptions(Frozen):
    """Options of the exports."""

    #: Distance in mm by which each lesion of an RTSTRUCT is enlarged into a second structure; None: none is made.
    margin_mm: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] | None = None
    #: What these structures are.
    margin_kind: MarginKind = "ptv"


@dataclass(frozen=True)
class ExportRequest:
    """A result, its source and the options; objects that refer to others build them through it once.

    Args:
        content: on the grid of the source.
        source: the series that the objects belong to.
        options: of the exports.
        build: makes the objects of an export by name.
    """

    content: ResultContent
    source: SourceHeaders
    options: ExportOptions
    build: Callable[[ExportRequest, str], list[Dataset]]
    _built: dict[str, list[Dataset]] = field(default_factory=dict, compare=False)

    def objects(self, name: str) -> list[Dataset]:
        """Return the objects of an export, each with its UIDs; they are built once."""
        if name not in self._built:
            self._built[name] = self.build(self, name)
        return self._built[name]

    @cached_property
    def lesions(self) -> StructureMap:
        """Return the cores of the lesions and the tissues around them."""
        return lesion_structures(self.content)

    @cached_property
    def classes(self) -> StructureMap:
        """Return the classes of the mask."""
        return class_structures(self.content)

    def derived_uid(self, *parts: str) -> str:
        """Return a UID that follows from the result, its source and its options."""
        series = str(self.source.first.SeriesInstanceUID)
        return derived_uid(series, self.content.digest, self.options.model_dump_json(), *parts)

    def tracking_uid(self, label: str) -> str:
        """Return the UID that names a structure in every object of this result."""
        return derived_uid(str(self.source.first.SeriesInstanceUID), self.content.digest, "tracking", label)

    def tracking_id(self, label: str) -> str:
        """Return the name of a structure that is unique in this result."""
        # A long name of the case is cut, never the label: it makes the name unique.
        return f"{self.content.case_id[: LONG_STRING - len(label) - 1]} {label}"

    @property
    def algorithm_name(self) -> str:
        """Return the name of the model in the objects."""
        return f"metseg {self.content.model}"[:LONG_STRING]

    @property
    def algorithm_version(self) -> str:
        """Return the fingerprint of the model; the version of metseg for a model without one."""
        return (self.content.fingerprint or __version__)[:LONG_STRING]

    def algorithm(self) -> AlgorithmIdentificationSequence:
        """Return the model as DICOM identifies an algorithm."""
        from highdicom import AlgorithmIdentificationSequence
        from pydicom.sr.codedict import codes

        return AlgorithmIdentificationSequence(
            name=self.algorithm_name,
            family=codes.DCM.ArtificialIntelligence,
            version=self.algorithm_version,
            source=MANUFACTURER,
        )


def equipment() -> dict[str, Any]:
    """Return the equipment as keywords of highdicom's constructors."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": "metseg",
        "software_versions": __version__,
        "device_serial_number": "none",
    }


def new_dataset(sop_class: str, *, modality: str) -> FileDataset:
    """Return an object with patient, study, series and equipment, for classes that highdicom does not make."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(UNSTAMPED)
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = sop_class
    dataset.Modality = modality
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = "metseg"
    dataset.SoftwareVersions = __version__
    dataset.DeviceSerialNumber = "none"
    dataset.InstanceNumber = 1
    return dataset


def finish(dataset: Dataset, request: ExportRequest, *, name: str, title: str, place: int) -> None:
    """Complete an object: patient, study, dates of the record, the caution, and its UIDs.

    Args:
        dataset: the object; its elements of patient and study are replaced.
        request: what it was made of.
        name: of the export.
        title: of the export, for the description of the series.
        place: of the export in the table; gives the number of the series.
    """
    _name_study(dataset, request.source)
    dataset.SeriesInstanceUID = request.derived_uid("series", name)
    dataset.SeriesNumber = FIRST_SERIES_NUMBER + place
    dataset.SeriesDescription = f"metseg {title}, research use only"[:LONG_STRING]
    _date(dataset, request)
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    dataset.file_meta.ImplementationVersionName = f"METSEG {__version__}"[:SHORT_STRING]
    dataset.file_meta.pop("FileMetaInformationGroupLength", None)
    for item in dataset.get("DimensionOrganizationSequence", ()):
        _rename_dimensions(dataset, str(item.DimensionOrganizationUID), request.derived_uid("dimensions", name))
    stamp_uid(dataset)


def _name_study(dataset: Dataset, source: SourceHeaders) -> None:
    dataset.SpecificCharacterSet = UTF_8
    dataset.StudyInstanceUID = source.first.StudyInstanceUID
    for keyword in IDENTITY_KEYWORDS:
        if keyword in source.patient:
            dataset[keyword] = source.patient[keyword]


def _date(dataset: Dataset, request: ExportRequest) -> None:
    """Date the object by the record of the job, never by the clock."""
    made_at = request.content.made_at
    day, time = f"{made_at:%Y%m%d}", f"{made_at:%H%M%S}"
    wanted: dict[str, Any] = {
        "InstanceCreationDate": day,
        "InstanceCreationTime": time,
        "SeriesDate": day,
        "SeriesTime": time,
    }
    present = {keyword: day for keyword in ("ContentDate", "StructureSetDate") if keyword in dataset}
    present |= {keyword: time for keyword in ("ContentTime", "StructureSetTime") if keyword in dataset}
    for keyword, value in {**wanted, **present}.items():
        setattr(dataset, keyword, value)
    for item in dataset.get("ContributingEquipmentSequence", ()):  # of highdicom, dated by the clock
        item.ContributionDateTime = day + time


def _rename_dimensions(dataset: Dataset, old: str, new: str) -> None:
    """Replace the random UID that highdicom gives to the dimensions."""
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in dataset.get(sequence, ()):
            if str(item.DimensionOrganizationUID) == old:
                item.DimensionOrganizationUID = UID(new)


def caution() -> str:
    """Return the sentence of every object on what the result may be used for.

    >>> len(caution()) <= 1024
    True
    """
    return NOTICE
