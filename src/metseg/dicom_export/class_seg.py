"""Export ``seg-classes``: a DICOM SEG with a binary segment for each class of the mask."""

from __future__ import annotations

from pydicom import Dataset

from metseg.dicom_export.export_request import ExportRequest
from metseg.dicom_export.segmentation_object import binary_segmentation


def build_class_seg(request: ExportRequest) -> list[Dataset]:
    """Return the SEG; none for an empty mask, because a SEG needs a segment."""
    if not request.classes.structures:
        return []
    return [binary_segmentation(request, request.classes, label="CLASSES")]
