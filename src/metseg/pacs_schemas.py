"""Search of a PACS as sent to and from the service. Its answers name patients: they are shown and never stored."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from metseg.schemas import Label, Options, StudyId, Wire

#: Largest number of studies in an answer.
MAX_FOUND: Final = 200

PacsName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,32}$", description="Name of a PACS in the settings.")]
#: Text of a condition: one line without the backslash, which separates values in DICOM.
_Text = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\\\x7f]*$")]
StudyUid = Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")]
Modality = Annotated[str, Field(pattern="^[A-Z]{2,16}$")]


class PacsList(Wire):
    """The PACS that the caller may search."""

    pacs: tuple[PacsName, ...] = Field(description="Empty if none is configured, or the key has not the scope operate.")


class PacsSearch(Wire):
    """Conditions of a search, at least one; `*` and `?` are wildcards."""

    patient_id: _Text = ""
    patient_name: _Text = Field(default="", description="As DICOM writes it: Family^Given, such as `Doe*`.")
    dates: Annotated[str, Field(max_length=17)] = Field(
        default="", description="`20260131`, `20260101-20260131`, `20260101-` or `-20260131`."
    )
    description: _Text = ""
    modality: Annotated[str, Field(pattern="^([A-Z]{2,16})?$")] = ""
    accession: _Text = ""


class PacsStudy(Wire):
    """A study as the PACS lists it."""

    study_uid: str
    date: str = Field(description="YYYYMMDD, or empty.")
    patient_id: str
    patient_name: str
    description: str
    accession: str
    modalities: tuple[str, ...]
    instances: int | None = Field(default=None, description="Number of objects; null if the PACS does not say.")


class PacsStudyList(Wire):
    """Studies that match, in the order of the PACS."""

    studies: tuple[PacsStudy, ...]
    truncated: bool = Field(default=False, description=f"Whether more than {MAX_FOUND} match.")


class PacsFetch(Wire):
    """A study to take from a PACS."""

    study_uid: StudyUid
    modality: Modality = Field(default="MR", description="Objects of other modalities are not used.")
    options: Options = Options()
    label: Label = ""


class PacsSend(Wire):
    """A finished study with DICOM results to store in a PACS."""

    study: StudyId
    without_corrections: bool = Field(
        default=False, description="Store the results of the model although a corrected version of the study exists."
    )


class PacsFailure(Wire):
    """An object that was not stored."""

    name: str
    reason: str


class PacsSent(Wire):
    """What became of the DICOM results."""

    stored: tuple[str, ...]
    present: tuple[str, ...] = Field(description="Objects that the PACS had already.")
    failed: tuple[PacsFailure, ...] = ()
