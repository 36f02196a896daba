"""Corrections of a finished study as sent to and from the service: edits, versions, and what changed.

Version 0 is the result of the model. Each correction makes a new version; versions never change.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from metseg.headline import Headline
from metseg.lesion import Finite, Lesion, Point, Size
from metseg.schemas import ARTIFACTS, NOTICE, Artifact, StudyId

#: Largest number of edits in one version, and of characters in the note and in the author's name.
MAX_EDITS: Final = 200
MAX_NOTE: Final = 500
MAX_AUTHOR: Final = 80
#: A region that is added at a point has at most this volume by default.
DEFAULT_MAX_ML: Final = 10.0
#: Largest volume that a request may ask for.
HIGHEST_MAX_ML: Final = 300.0

#: Artifacts that only versions have: class ids of all findings, the rejected ones too.
FINDINGS: Final = "findings.nii.gz"
#: Names of the artifacts of a version; for pictures, those with ``{number}`` exist once per slice.
VERSION_ARTIFACTS: Final = {
    **{name: ARTIFACTS[name] for name in ("mask.nii.gz", "lesions.nii.gz", "lesions.csv", "lesions.json")},
    FINDINGS: "application/gzip",
    **{name: ARTIFACTS[name] for name in ("report.pdf", "report.html", "mask-{number}.png", "lesions-{number}.png")},
}

#: Text that is stored and shown: no control characters but line ends.
_TEXT: Final = r"^[^\x00-\x09\x0b-\x1f\x7f]*$"
#: Largest number in a request: those of any size could not be stored or compared.
_LARGEST: Final = 2**31 - 1
_Index = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
Note = Annotated[
    str,
    Field(max_length=MAX_NOTE, pattern=_TEXT, description="Why, in words. Leave out names of patients."),
]
Author = Annotated[
    str,
    Field(max_length=MAX_AUTHOR, pattern=_TEXT, description="Who made the correction, as the client states it."),
]


class _Sent(BaseModel):
    """Base of the documents: immutable, unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LesionState(StrEnum):
    """What the reviewer says of a lesion."""

    UNREVIEWED = "unreviewed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ADDED = "added"


class LesionEdit(_Sent):
    """Accept, reject or remove a lesion."""

    action: Literal["accept", "reject", "remove"] = Field(
        description="`accept`: a lesion. `reject`: no lesion; it leaves the mask and stays in the table as rejected, "
        "and can be accepted later. `remove`: it leaves the mask and the table."
    )
    lesion: int = Field(ge=1, le=_LARGEST, description="Number of the lesion in the parent version.")


class AddEdit(_Sent):
    """Add a lesion at a point: the connected region of the stored probability map above a threshold."""

    action: Literal["add"]
    voxel: tuple[_Index, _Index, _Index] | None = Field(
        default=None, description="Array indices of the result's grid from 0; for pictures column, row, slice."
    )
    point_mm: Point | None = Field(default=None, description="Instead of `voxel`: RAS mm.")
    threshold: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Least probability of the region. By default, half of the probability at the point, at most the "
        "threshold of the model, and raised until the region is not larger than `max_ml`.",
    )
    max_ml: Annotated[float, Field(gt=0, le=HIGHEST_MAX_ML)] = Field(
        default=DEFAULT_MAX_ML,
        description="Largest volume of the region. In pictures, which have no size, it is a tenth of the picture.",
    )
    label: Annotated[str, Field(max_length=40)] | None = Field(
        default=None,
        description="Class of the added voxels; defaults to the most important class of the model, because the stored "
        "probability is that of any lesion.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> AddEdit:
        if (self.voxel is None) == (self.point_mm is None):
            raise ValueError("give either voxel or point_mm")
        return self


Edit = Annotated[LesionEdit | AddEdit, Field(discriminator="action")]


class NewVersion(_Sent):
    """A correction: edits in order, each of the parent version's lesions."""

    parent: int = Field(ge=0, le=_LARGEST, description="Number of the version that is corrected: the latest one.")
    edits: tuple[Edit, ...] = Field(min_length=1, max_length=MAX_EDITS)
    note: Note = ""
    author: Author = ""


class NewMask(_Sent):
    """Text fields of an uploaded mask."""

    parent: int = Field(ge=0, le=_LARGEST)
    note: Note = ""
    author: Author = ""


class Grown(_Sent):
    """The region that was added at a point."""

    edit: int = Field(ge=0, description="Place of the edit in the list, from 0.")
    voxel: tuple[int, int, int]
    probability: Size = Field(description="At the point.")
    threshold: Size = Field(description="That the region was grown with.")
    voxels: int = Field(ge=1)
    volume_ml: Size | None = None
    label: str
    joined: tuple[int, ...] = Field(default=(), description="Lesions of the parent version that it now belongs to.")


class VersionLesion(Lesion):
    """A lesion of a version, with the reviewer's state."""

    state: LesionState
    was: tuple[int, ...] = Field(default=(), description="Numbers in the parent version; empty: it is new.")
    changed: bool = Field(default=False, description="Whether its voxels differ from those in the parent version.")


class Comparison(_Sent):
    """A version and its parent; rejected lesions are not counted."""

    lesions_before: int = Field(ge=0)
    lesions: int = Field(ge=0)
    voxels_before: int = Field(ge=0)
    voxels: int = Field(ge=0)
    volume_ml_before: Size | None = None
    volume_ml: Size | None = None
    dice: Annotated[Finite, Field(ge=0, le=1)] | None = Field(
        default=None, description="Of both masks, all classes together; null if both are empty."
    )
    gone: tuple[int, ...] = Field(default=(), description="Numbers in the parent version that are no longer counted.")
    new: tuple[int, ...] = Field(default=(), description="Numbers of lesions that the parent version did not count.")


class VersionSummary(_Sent):
    """A version in a list."""

    number: int = Field(ge=0, description="0: the result of the model.")
    parent: int | None = Field(default=None, ge=0)
    source: Literal["model", "edits", "mask"] = Field(description="How it was made; `mask`: an uploaded mask.")
    created_at: datetime
    actor: str = Field(default="", description="Id of the API key; `local` without keys; empty for version 0.")
    author: Author = ""
    note: Note = ""
    lesions: int = Field(ge=0, description="Number of lesions; rejected ones are not counted.")
    unreviewed: int = Field(ge=0, description="Number of lesions that are neither accepted nor added.")


class VersionList(_Sent):
    """All versions of a study, oldest first."""

    study: StudyId
    versions: tuple[VersionSummary, ...]


class Version(VersionSummary):
    """A version with its lesion table."""

    study: StudyId
    edits: tuple[Edit, ...] = ()
    mask_sha256: str | None = Field(default=None, description="Of the uploaded file.")
    grown: tuple[Grown, ...] = ()
    headline: Headline
    table: tuple[VersionLesion, ...] = Field(description="Lesions by size, then rejected ones.")
    comparison: Comparison | None = Field(default=None, description="With the parent; null for version 0.")
    artifacts: tuple[Artifact, ...] = ()
    notice: str = NOTICE
