"""Export ``sr``: a structured report by TID 1500 with volume, diameters and certainty of each lesion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom import Dataset

from metseg.dicom_export import coded_terms as terms
from metseg.dicom_export.coded_terms import Term
from metseg.dicom_export.export_request import ExportRequest, caution, equipment
from metseg.dicom_export.object_uids import UNSTAMPED, derived_uid
from metseg.dicom_export.structures import Structure
from metseg.measure import MM3_PER_ML, longest_axial_diameter_mm, longest_diameter_mm, voxel_volume_mm3
from metseg.measure.boxes import bounding_box

#: The export with the segments that the report refers to.
SEGMENTS = "seg"
_SIDES = {"right": terms.RIGHT, "left": terms.LEFT}


def build_measurement_report(request: ExportRequest) -> list[Dataset]:
    """Return the report. Without a structure it says that there is no lesion."""
    from highdicom import sr

    segments = request.objects(SEGMENTS)
    groups = [_group(request, structure, segments[0]) for structure in request.lesions.structures]
    groups = groups or [_nothing_found(request)]
    headers = list(request.source.headers)
    report = sr.MeasurementReport(
        observation_context=_context(),
        procedure_reported=terms.MR_OF_BRAIN.code(),
        imaging_measurements=groups,
        title=_imaging_report(),
    )
    for text in _comments(request):
        report[0].ContentSequence.append(
            sr.TextContentItem(_concept(terms.COMMENT), text, relationship_type="CONTAINS")
        )
    document = sr.Comprehensive3DSR(
        evidence=[*headers, *segments],  # the first one names the patient, whom only `finish` adds
        content=report[0],
        series_instance_uid=UNSTAMPED,
        series_number=1,
        sop_instance_uid=UNSTAMPED,
        instance_number=1,
        is_complete=True,
        **equipment(),
    )
    return [document]


def _comments(request: ExportRequest) -> Iterator[str]:
    """Yield what a reader of the numbers has to know."""
    yield caution()
    yield (
        "Volume and diameters are those of the core of a lesion, without oedema. The certainty is the mean probability "
        f"over all its voxels by the model {request.content.model}, calibrated if the model has a calibration."
    )
    if not request.lesions.structures:
        yield "No lesion was found."


def _concept(term: Term) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(term.value, term.scheme, term.meaning)


def _imaging_report() -> Any:
    from pydicom.sr.codedict import codes

    return codes.DCM.ImagingMeasurementReport


def _context() -> Any:
    """Return the observer: the program, not a person."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    kit = equipment()
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", "metseg"),
        name="metseg",
        manufacturer_name=kit["manufacturer"],
        model_name=kit["manufacturer_model_name"],
        serial_number=kit["device_serial_number"],
    )
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _group(request: ExportRequest, structure: Structure, segments: Dataset) -> Any:
    """Return the measurements of a structure."""
    from highdicom import sr

    lesion = structure.lesion
    side = None if lesion is None or lesion.side is None else _SIDES.get(lesion.side)
    first = request.source.first
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=request.tracking_uid(structure.label), identifier=request.tracking_id(structure.label)
        ),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=segments.SOPClassUID,
            sop_instance_uid=segments.SOPInstanceUID,
            segment_number=structure.number,
            source_series=sr.SourceSeriesForSegmentation(first.SeriesInstanceUID),
        ),
        finding_type=structure.term.code(),
        finding_sites=[
            sr.FindingSite(anatomic_location=terms.BRAIN.code(), laterality=None if side is None else side.code())
        ],
        algorithm_id=sr.AlgorithmIdentification(name=request.algorithm_name, version=request.algorithm_version),
        measurements=[_measurement(*entry) for entry in _measured(request, structure)],
    )


def _nothing_found(request: ExportRequest) -> Any:
    """Return the group that says that there is no lesion; a report needs a group."""
    from highdicom import sr

    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=request.tracking_uid("no lesion"), identifier=request.tracking_id("no lesion")
        ),
        finding_sites=[sr.FindingSite(anatomic_location=terms.BRAIN.code())],
        qualitative_evaluations=[sr.QualitativeEvaluation(name=terms.LESION.code(), value=terms.ABSENT.code())],
    )


def _measurement(term: Term, value: float, unit: Term) -> Any:
    from highdicom.sr import Measurement

    return Measurement(name=term.code(), value=value, unit=unit.code())


def _measured(request: ExportRequest, structure: Structure) -> Iterator[tuple[Term, float, Term]]:
    """Yield what is measured of a structure: volume; of lesions also both diameters and the certainty."""
    mask, affine = request.lesions.mask(structure), request.content.affine
    volume = np.count_nonzero(mask) * voxel_volume_mm3(affine) / MM3_PER_ML
    yield terms.VOLUME, round(float(volume), 4), terms.MILLILITRE
    box = bounding_box(mask)
    if structure.lesion is None or box is None:
        return
    part = mask[box]
    yield terms.LONGEST_DIAMETER, round(longest_diameter_mm(part, affine), 2), terms.MILLIMETRE
    yield terms.LONGEST_AXIAL_DIAMETER, round(longest_axial_diameter_mm(part, affine), 2), terms.MILLIMETRE
    yield terms.CERTAINTY, round(100 * structure.lesion.confidence, 2), terms.PERCENT
