"""Export ``seg-probability``: a DICOM SEG with one fractional segment, the probability of any lesion."""

from __future__ import annotations

from pydicom import Dataset

from metseg.dicom_export.coded_terms import LESION
from metseg.dicom_export.export_request import ExportRequest
from metseg.dicom_export.segmentation_object import probability_segmentation
from metseg.dicom_export.structures import Structure
from metseg.picture_style import PREDICTION_COLOUR


def build_probability_seg(request: ExportRequest) -> list[Dataset]:
    """Return the SEG, in 255 steps; none where no voxel reaches half a step."""
    probability = request.content.probability
    if probability is None or probability.max() * 255 < 0.5:
        return []
    structure = Structure(1, "Probability of lesion", LESION, PREDICTION_COLOUR)
    return [probability_segmentation(request, structure, label="PROBABILITY")]
