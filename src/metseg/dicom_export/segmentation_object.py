"""Build a DICOM Segmentation with highdicom: one object of several segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from metseg.dicom_export.coded_terms import ABNORMAL, BRAIN
from metseg.dicom_export.export_request import ExportRequest, caution, equipment
from metseg.dicom_export.object_uids import UNSTAMPED
from metseg.dicom_export.structures import Structure, StructureMap


def binary_segmentation(request: ExportRequest, structures: StructureMap, *, label: str) -> Dataset:
    """Return a binary segmentation with a segment for each structure.

    Args:
        request: the result and its source.
        structures: at least one.
        label: name of the content, capitals and underscores.
    """
    planes = _planes(structures.numbers, request)
    return _segmentation(request, planes, structures.structures, label=label, kind="BINARY")


def probability_segmentation(request: ExportRequest, structure: Structure, *, label: str) -> Dataset:
    """Return a fractional segmentation of one segment: the probability, in 255 steps.

    The result must hold probabilities.
    """
    probability = request.content.probability
    assert probability is not None
    planes = _planes(np.clip(probability, 0, 1).astype(np.float32), request)
    return _segmentation(request, planes, (structure,), label=label, kind="FRACTIONAL")


def _planes(array: npt.NDArray[np.generic], request: ExportRequest) -> npt.NDArray[np.generic]:
    """Return (slices, rows, columns) in the order of the source's pictures, as highdicom needs them."""
    planes = np.ascontiguousarray(array.transpose(2, 1, 0))
    if not request.source.is_multi_frame:
        return planes
    frames = [(reference.frame or 0) - 1 for reference in request.source.references]
    in_object = np.empty_like(planes)
    in_object[frames] = planes
    return in_object


def _segmentation(
    request: ExportRequest,
    planes: npt.NDArray[np.generic],
    structures: Sequence[Structure],
    *,
    label: str,
    kind: str,
) -> Dataset:
    from highdicom.seg import Segmentation

    return Segmentation(
        source_images=list(request.source.headers),
        pixel_array=planes,
        segmentation_type=kind,
        segment_descriptions=[_description(request, structure) for structure in structures],
        series_instance_uid=UNSTAMPED,
        series_number=1,
        sop_instance_uid=UNSTAMPED,
        instance_number=1,
        content_label=label,
        content_description=caution()[:64],
        **equipment(),
    )


def _description(request: ExportRequest, structure: Structure) -> Any:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    return SegmentDescription(
        segment_number=structure.number,
        segment_label=structure.label,
        segmented_property_category=ABNORMAL.code(),
        segmented_property_type=structure.term.code(),
        algorithm_type="AUTOMATIC",
        algorithm_identification=request.algorithm(),
        tracking_uid=request.tracking_uid(structure.label),
        tracking_id=request.tracking_id(structure.label),
        anatomic_regions=[BRAIN.code()],
        display_color=CIELabColor.from_rgb(*structure.colour),
    )
