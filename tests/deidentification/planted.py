"""Texts that identify a patient, planted in a hundred elements of a DICOM object."""

from __future__ import annotations

from pydicom.datadict import DicomDictionary

from metseg.deidentification.profile_actions import Action, action_of

SOME_TEXT = ("PN", "LO", "SH", "LT", "ST", "UT", "UC")


def planted() -> dict[str, str]:
    """Return 100 elements of text, most of them in the table of the profile, each with a text of its own."""
    chosen = []
    for tag, (vr, multiplicity, _, retired, keyword) in sorted(DicomDictionary.items()):
        is_listed = action_of(tag, vr) not in (Action.KEEP, Action.UID)
        if keyword and not retired and vr in SOME_TEXT and multiplicity == "1" and is_listed and tag >> 16 >= 8:
            chosen.append(keyword)
    step = len(chosen) // 100
    names = ["PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "InstitutionName", *chosen[::step]]
    return {keyword: f"Q{number:03d}ZWX" for number, keyword in enumerate(list(dict.fromkeys(names))[:100])}
