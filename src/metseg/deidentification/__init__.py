"""De-identify DICOM studies by the Basic Application Level Confidentiality Profile of PS3.15 (edition 2026c)."""

from metseg.deidentification.study_files import Deidentified, deidentify_files

__all__ = ["Deidentified", "deidentify_files"]
