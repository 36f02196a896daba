"""Export ``seg``: a DICOM SEG with a binary segment for the core of each lesion and for each tissue around them."""

from __future__ import annotations

from pydicom import Dataset

from metseg.dicom_export.export_request import ExportRequest
from metseg.dicom_export.segmentation_object import binary_segmentation


def build_lesion_seg(request: ExportRequest) -> list[Dataset]:
    """Return the SEG; none for an empty mask, because a SEG needs a segment."""
    if not request.lesions.structures:
        return []
    return [binary_segmentation(request, request.lesions, label="LESIONS")]
