"""Write results as DICOM objects: SEG, RTSTRUCT, SR, encapsulated PDF and secondary capture."""

from metseg.dicom_export.export_request import ExportOptions
from metseg.dicom_export.export_table import (
    EXPORTS,
    Export,
    build_exports,
    export_files,
    find_exports,
    require_exports,
    write_exports,
)
from metseg.dicom_export.result_content import ResultContent
from metseg.dicom_export.source_headers import Identity, SourceHeaders, read_source_headers

__all__ = [
    "EXPORTS",
    "Export",
    "ExportOptions",
    "Identity",
    "ResultContent",
    "SourceHeaders",
    "build_exports",
    "export_files",
    "find_exports",
    "read_source_headers",
    "require_exports",
    "write_exports",
]
