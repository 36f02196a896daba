"""Export ``pdf``: the report of the study as an Encapsulated PDF."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from metseg.dicom_export.export_request import ExportRequest, caution, new_dataset


def build_encapsulated_pdf(request: ExportRequest) -> list[Dataset]:
    """Return the report in one object; the result must have a report."""
    make = request.content.report_pdf
    assert make is not None
    dataset = new_dataset(EncapsulatedPDFStorage, modality="DOC")
    dataset.ConversionType = "WSD"
    dataset.ContentDate = dataset.ContentTime = ""
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "NO"
    dataset.DocumentTitle = f"metseg report. {caution()}"
    dataset.ConceptNameCodeSequence = []
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    content = make()
    dataset.EncapsulatedDocumentLength = len(content)
    dataset.EncapsulatedDocument = content + bytes(len(content) % 2)
    dataset.SourceInstanceSequence = [_instance(header) for header in request.source.headers]
    return [dataset]


def _instance(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item
