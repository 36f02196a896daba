"""Export ``rtstruct``: an RT Structure Set with a GTV for the core of each lesion, and margins on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import RTStructureSetStorage

from metseg.dicom_export.contours import plane_contours
from metseg.dicom_export.export_request import SHORT_STRING, ExportRequest, caution, new_dataset
from metseg.dicom_export.margins import with_margin
from metseg.dicom_export.source_headers import Reference, SourceHeaders
from metseg.dicom_export.structures import Structure
from metseg.geometry import spacing_mm
from metseg.picture_style import Colour

#: Retired in the standard, and still required by readers: the class of the study in references.
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
#: Places of contours are rounded to this many decimals of a millimetre, so that a value fits 16 characters.
_DECIMALS = 4
_CONTOUR_DATA = Tag("ContourData")


@dataclass(frozen=True)
class Region:
    """One region of interest.

    Args:
        number: from 1.
        name: of at most 16 characters, which planning systems show in full.
        kind: GTV, PTV or CONTROL; empty: none of these.
        colour: red, green and blue, 0 to 255.
        description: in words.
        mask: (X, Y, Z).
    """

    number: int
    name: str
    kind: str
    colour: Colour
    description: str
    mask: npt.NDArray[np.bool_]


def build_rtstruct(request: ExportRequest) -> list[Dataset]:
    """Return the structure set; none without a lesion, because a structure set needs a structure."""
    regions = list(_regions(request))
    if not regions:
        return []
    dataset = new_dataset(RTStructureSetStorage, modality="RTSTRUCT")
    dataset.StructureSetLabel = "METSEG"
    dataset.StructureSetName = "Lesions by metseg"
    dataset.StructureSetDescription = caution()
    dataset.StructureSetDate = dataset.StructureSetTime = ""
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.OperatorsName = ""
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(request.source)]
    dataset.StructureSetROISequence = [_region_item(region, request) for region in regions]
    dataset.ROIContourSequence = [_contour_item(region, request.source) for region in regions]
    dataset.RTROIObservationsSequence = [_observation(region) for region in regions]
    dataset.FrameOfReferenceUID = request.source.first.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = ""
    return [dataset]


def region_name(structure: Structure) -> str:
    """Return the name of a structure's region: GTV_1 for lesion 1, else its label.

    >>> from metseg.dicom_export.coded_terms import LESION
    >>> region_name(Structure(1, "oedema", LESION, (0, 0, 0)))
    'oedema'
    """
    return structure.label[:SHORT_STRING] if structure.lesion is None else f"GTV_{structure.lesion.id}"


def _regions(request: ExportRequest) -> Iterator[Region]:
    """Yield each structure, then each lesion with its margin."""
    found, options = request.lesions, request.options
    number = 0
    for structure in found.structures:
        number += 1
        kind = "GTV" if structure.lesion else ""
        words = structure.term.meaning
        yield Region(number, region_name(structure), kind, structure.colour, words, found.mask(structure))
    if options.margin_mm is None:
        return
    kind, sides = options.margin_kind.upper(), spacing_mm(request.content.affine)
    for structure in found.structures:
        if structure.lesion is None:
            continue
        number += 1
        enlarged = with_margin(found.mask(structure), options.margin_mm, sides)
        words = f"GTV_{structure.lesion.id} and a margin of {options.margin_mm:g} mm"
        yield Region(number, f"{kind}_{structure.lesion.id}", kind, structure.colour, words, enlarged)


def _region_item(region: Region, request: ExportRequest) -> Dataset:
    item = Dataset()
    item.ROINumber = region.number
    item.ReferencedFrameOfReferenceUID = request.source.first.FrameOfReferenceUID
    item.ROIName = region.name
    item.ROIDescription = region.description
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = request.algorithm_name
    return item


def _observation(region: Region) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = region.number
    item.RTROIInterpretedType = region.kind
    item.ROIInterpreter = ""
    return item


def _contour_item(region: Region, source: SourceHeaders) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(region.colour)
    item.ContourSequence = list(_contours(region.mask, source))
    item.ReferencedROINumber = region.number
    return item


def _contours(mask: npt.NDArray[np.bool_], source: SourceHeaders) -> Iterator[Dataset]:
    """Yield the contours of a mask, slice by slice, in patient coordinates."""
    number = 0
    for z in np.flatnonzero(mask.any(axis=(0, 1))).tolist():
        for vertices in plane_contours(mask[:, :, z]):
            number += 1
            item = Dataset()
            item.ContourImageSequence = [_image_item(source.references[z])]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(vertices)
            item.ContourNumber = number
            item[_CONTOUR_DATA] = _decimal_element(_CONTOUR_DATA, _places(vertices, z, source.affine))
            yield item


def _places(vertices: npt.NDArray[np.float64], z: int, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (N, 3) the vertices in DICOM's patient coordinates (LPS), mm."""
    voxels = np.column_stack([vertices, np.full(len(vertices), z)])
    ras = voxels @ affine[:3, :3].T + affine[:3, 3]
    return np.asarray(np.round(ras * (-1, -1, 1), _DECIMALS) + 0.0)


def _decimal_element(tag: BaseTag, numbers: npt.NDArray[np.float64]) -> RawDataElement:
    """Return decimal strings as they are written to the file.

    pydicom would make a checked object of each of the many thousand numbers, which takes seconds.
    """
    text = "\\".join(f"{value:.{_DECIMALS}f}" for value in numbers.ravel().tolist()).encode("ascii")
    padded = text + b" " * (len(text) % 2)
    return RawDataElement(tag, "DS", len(padded), padded, 0, is_implicit_VR=False, is_little_endian=True)


def _image_item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class
    item.ReferencedSOPInstanceUID = reference.sop_instance
    if reference.frame is not None:
        item.ReferencedFrameNumber = reference.frame
    return item


def _frame_of_reference(source: SourceHeaders) -> Dataset:
    """Return the references to every picture of the source series."""
    series = Dataset()
    series.SeriesInstanceUID = source.first.SeriesInstanceUID
    series.ContourImageSequence = [
        _image_item(Reference(str(header.SOPClassUID), str(header.SOPInstanceUID))) for header in source.headers
    ]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = source.first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame
