"""Export ``pages``: the pages of the report as Secondary Capture, for viewers that show no PDF."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from metseg.dicom_export.export_request import ExportRequest, caution, new_dataset

#: Pixels per inch: the smallest print of the report is legible, and a page takes 4 MB.
RESOLUTION = 120


def build_secondary_capture(request: ExportRequest) -> list[Dataset]:
    """Return an object for each page of the report; the result must have a report."""
    make = request.content.report_pdf
    assert make is not None
    return [_page(number, pixels) for number, pixels in enumerate(_rendered(make()), start=1)]


def _page(number: int, pixels: npt.NDArray[np.uint8]) -> Dataset:
    dataset = new_dataset(SecondaryCaptureImageStorage, modality="OT")
    dataset.InstanceNumber = number
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ContentDate = dataset.ContentTime = ""
    dataset.PatientOrientation = ""
    dataset.BodyPartExamined = "BRAIN"  # not one of a pair, so no laterality is needed
    dataset.ImageComments = caution()
    dataset.BurnedInAnnotation = "NO"
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    content = pixels.tobytes()
    dataset.PixelData = content + bytes(len(content) % 2)
    return dataset


def _rendered(pdf: bytes) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the pages of a PDF, (rows, columns, 3)."""
    from pypdfium2 import PdfDocument

    document = PdfDocument(pdf)
    try:
        for page in document:
            yield np.array(page.render(scale=RESOLUTION / 72, rev_byteorder=True).to_numpy()[..., :3])
    finally:
        document.close()
