"""Follow-ups of patients as sent to and from the service: the examinations to compare, and what was found.

An examination is a finished study, or a corrected version of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from metseg.follow_up_document import ClinicalStatus, FollowUpDocument, Steroids
from metseg.schemas import NOTICE, Artifact, Label, StudyId, Wire

#: Largest number of examinations in one follow-up; the service computes it while the caller waits.
MAX_EXAMINATIONS: Final = 10

#: Artifacts of a follow-up with their media types; the last exists once per lesion that changed, side by side at the
#: last two examinations.
FOLLOW_UP_ARTIFACTS: Final[Mapping[str, str]] = {
    "report.pdf": "application/pdf",
    "report.html": "text/html",
    "follow-up.json": "application/json",
    "follow-up.csv": "text/csv",
    "lesion-{number}.png": "image/png",
}

FollowUpId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="Random id of a follow-up.")]
#: Text such as 2026-01-31 only: pydantic would take numbers for seconds since 1970.
Day = Annotated[date, Field(strict=True, description="Date of the examination.")]


class NewExamination(Wire):
    """One examination to compare."""

    study: StudyId
    version: Annotated[int, Field(ge=0, le=9999)] | None = Field(
        default=None, description="Version of the study; by default the latest one. 0 is the result of the model."
    )
    day: Day | None = Field(default=None, description="For all examinations, in order, or for none.")
    steroids: Steroids | None = Field(
        default=None, description="In comparison with the first examination; for all later ones, or for none."
    )
    clinical: ClinicalStatus | None = Field(
        default=None, description="Clinical status in the same comparison; for all later ones, or for none."
    )


class NewFollowUp(Wire):
    """Finished studies of one patient in order of time.

    Studies with different patient ids in their DICOM headers are refused. Of other studies, nothing says whether they
    are of one patient: that is for the caller to know.
    """

    examinations: tuple[NewExamination, ...] = Field(min_length=2, max_length=MAX_EXAMINATIONS)
    repeatability_mm: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Standard deviation of a lesion's radius when it is outlined again; without it, the error of "
        "measurement is that of the voxel grid alone.",
    )
    label: Label = ""
    allow_different_ids: bool = Field(
        default=False,
        description="Compare the studies although their DICOM headers have different patient ids, as those of two "
        "hospitals have.",
    )

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        studies = [one.study for one in self.examinations]
        if len(set(studies)) < len(studies):
            raise ValueError("each study can be one examination only")
        first = self.examinations[0]
        if first.steroids is not None or first.clinical is not None:
            raise ValueError("steroids and clinical status belong to the examinations after the first")
        return self


class FollowedExamination(Wire):
    """An examination of a follow-up."""

    study: StudyId
    version: int = Field(ge=0, description="Version of the study that was compared.")
    name: str = Field(description="Its name in the document.")
    day: date | None = None


class FollowUpChange(Wire):
    """What happened to a lesion at the last examination."""

    lesion: int
    kind: str = Field(description="new, returned, larger, split, merged, smaller, vanished or unchanged.")
    sentence: str
    picture: str | None = Field(default=None, description="Artifact with the lesion at the last two examinations.")


class FollowUpSummary(Wire):
    """A follow-up in a list."""

    id: FollowUpId
    label: Label = ""
    created_at: datetime
    expires_at: datetime | None = Field(
        default=None, description="A follow-up is removed with the first of its studies that is deleted or expires."
    )
    examinations: tuple[FollowedExamination, ...]
    headline: tuple[str, ...] = Field(description="What changed, the most important first; sentences.")


class FollowUpList(Wire):
    """A page of follow-ups, newest first, and the key of the next page."""

    follow_ups: tuple[FollowUpSummary, ...]
    next: str | None = Field(default=None, description="Pass this as `after` to get the next page.")


class StoredFollowUp(FollowUpSummary):
    """A follow-up with all its results."""

    changes: tuple[FollowUpChange, ...] = Field(description="At the last examination, the most important first.")
    document: FollowUpDocument
    artifacts: tuple[Artifact, ...] = ()
    notice: str = NOTICE
