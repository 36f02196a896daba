"""Read DICOM series from folders, zip archives and single files, and recognise the sequences of studies."""

from metseg.io.dicom.dicom_files import looks_like_dicom
from metseg.io.dicom.header import SequenceHeader
from metseg.io.dicom.sequence_recognition import recognise_sequence
from metseg.io.dicom.series import SeriesImage, load_series
from metseg.io.dicom.series_scan import Scan, scan
from metseg.io.dicom.series_splitting import Series
from metseg.io.dicom.study_case import DicomStudySource, find_studies, read_series

__all__ = [
    "DicomStudySource",
    "Scan",
    "SequenceHeader",
    "Series",
    "SeriesImage",
    "find_studies",
    "load_series",
    "looks_like_dicom",
    "read_series",
    "recognise_sequence",
    "scan",
]
