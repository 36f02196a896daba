"""The JSON document of a follow-up, ``<patient>-follow-up.json``, and its table; the service sends it, too."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metseg.lesion import Point

Limits = tuple[float, float]

#: first: present at the first examination. split: a piece of another lesion. merged: part of another lesion from now
#: on. returned: seen again after it was absent or merged.
Event = Literal["first", "new", "continued", "split", "merged", "vanished", "absent", "returned"]
Verdict = Literal["larger", "smaller", "within measurement error"]
#: Corticosteroids at an examination, in comparison with the baseline.
Steroids = Literal["none", "decreased", "stable", "increased"]
#: Clinical status at an examination, in comparison with the baseline.
ClinicalStatus = Literal["improved", "stable", "worse"]


class _Part(BaseModel):
    """Base of the parts: immutable; unknown keys of later versions are accepted."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RegistrationRecord(_Part):
    """How an examination was registered to the first one."""

    to_later_mm: tuple[tuple[float, ...], ...] = Field(
        description="(4, 4) from points of the first examination, mm in RAS, to the same tissue in this one."
    )
    mutual_information: float | None = Field(description="Normalised, 1 to 2; null if nothing was registered.")
    head_overlap: float | None = Field(description="Dice coefficient of the two heads.")
    coverage: float | None = Field(description="Share of the first examination's head that this one shows.")
    shift_mm: float = Field(description="Displacement of the middle of the first image.")
    rotation_degrees: float
    seconds: float
    doubts: tuple[str, ...] = Field(default=(), description="Reasons to doubt the registration; empty: none.")

    @property
    def verdict(self) -> str:
        """Return the verdict in words; not "good", because only gross errors are recognised."""
        return "doubtful" if self.doubts else "no doubt"


class TimepointRecord(_Part):
    """One examination."""

    name: str
    day: date | None = None
    days: int | None = Field(default=None, description="Since the first examination; null if dates are not known.")
    sequence: str = Field(description="The image that was registered; empty without one.")
    spacing_mm: Point = Field(description="Of the mask's voxels.")
    model: str = Field(description="The model that made the mask; empty for another source.")
    lesions: int
    volume_ml: float = Field(description="Of all lesions.")
    volume_ml_by_label: dict[str, float] = Field(description="Of every class of the mask, oedema too.")
    registration: RegistrationRecord


class ChangeRecord(_Part):
    """Change of a lesion's size since an earlier examination."""

    since: str = Field(description="Name of the earlier examination.")
    volume_percent: float
    volume_limits_percent: Limits = Field(description="95 % limits for a lesion that did not change.")
    volume: Verdict
    diameter_mm: float
    diameter_limits_mm: Limits
    diameter: Verdict
    with_lesions: tuple[int, ...] = Field(
        default=(), description="Other lesions that are counted with this one: pieces, or parts of a merger."
    )


class StateRecord(_Part):
    """A lesion at one examination; sizes are null where it is not there."""

    timepoint: str
    event: Event
    related: int | None = Field(default=None, description="The lesion that it is a piece of, or has become part of.")
    volume_ml: float | None = None
    volume_ml_by_label: dict[str, float] = {}
    longest_axial_mm: float | None = None
    perpendicular_axial_mm: float | None = None
    axial_slices: int | None = None
    centre_mm: Point | None = Field(default=None, description="RAS mm of its own examination.")
    typical_voxel: tuple[int, int, int] | None = None
    since_previous: ChangeRecord | None = None
    since_first: ChangeRecord | None = Field(
        default=None, description="Since the first time it was seen; null if that was the previous examination."
    )


class LesionRecord(_Part):
    """One lesion over time."""

    id: int = Field(description="The same at every examination.")
    target: bool = Field(description="Whether it is a target lesion of RANO-BM.")
    states: tuple[StateRecord, ...] = Field(description="From the examination at which it was first seen.")


class CategoryRecord(_Part):
    """A response category and the rule that led to it."""

    category: str
    reason: str


class ResponseRecord(_Part):
    """Response of the patient at one examination."""

    timepoint: str
    sum_mm: float = Field(description="Of the longest axial diameters of the targets.")
    sum_ml: float = Field(description="Of the volumes of the targets.")
    diameters_from_baseline_percent: float | None
    diameters_from_nadir_percent: float | None = Field(description="Null without targets, or if the nadir is 0.")
    volumes_from_baseline_percent: float | None
    volumes_from_nadir_percent: float | None
    new_lesions: tuple[int, ...]
    equivocal_new_lesions: tuple[int, ...] = Field(description="Too small to count as progression.")
    grown_non_targets: tuple[int, ...]
    steroids: str | None
    clinical: str | None
    imaging: CategoryRecord = Field(description="RANO-BM, imaging part only.")
    complete: CategoryRecord | None = Field(
        description="With steroids and clinical status, or by a worse clinical status alone; null: imaging only."
    )
    confirmed: bool | None = Field(
        default=None, description="Of CR and PR: by an examination at least four weeks later; null: not known."
    )
    volumetric: CategoryRecord = Field(description="Exploratory, imaging part only.")


class FollowUpDocument(_Part):
    """A patient over time."""

    metseg: str
    notice: str
    patient: str
    doubts: tuple[str, ...] = Field(description="What to know before the numbers; sentences.")
    headline: tuple[str, ...] = Field(description="What changed, the most important first; sentences.")
    scheme: str
    timepoints: tuple[TimepointRecord, ...]
    lesions: tuple[LesionRecord, ...]
    error_source: str = Field(description="Where the error of measurement comes from, a sentence.")
    targets: tuple[int, ...]
    baseline_sum_mm: float
    baseline_sum_ml: float
    response: tuple[ResponseRecord, ...] = Field(description="One per examination after the first.")
    sources: dict[str, str] = Field(description="Of the criteria.")

    def state(self, lesion: int, timepoint: str) -> StateRecord | None:
        """Return a lesion's state at an examination; None before it was first seen."""
        states = next(one.states for one in self.lesions if one.id == lesion)
        return next((state for state in states if state.timepoint == timepoint), None)


#: Columns of the table, one row per lesion and examination.
COLUMNS = (
    *("patient", "lesion", "target", "timepoint", "day", "days", "event", "related"),
    *("volume_ml", "longest_axial_mm", "perpendicular_axial_mm", "axial_slices"),
    *("since", "volume_percent", "volume_low_percent", "volume_high_percent", "volume_verdict"),
    *("diameter_change_mm", "diameter_low_mm", "diameter_high_mm", "diameter_verdict"),
)


def follow_up_csv(document: FollowUpDocument) -> str:
    """Return one row per lesion and examination as CSV with a header; unknown values are empty.

    Changes are those since the previous examination. Volumes by class follow as ``volume_ml_ET`` and so on.
    """
    labels = sorted({name for one in document.lesions for state in one.states for name in state.volume_ml_by_label})
    out = io.StringIO()
    names = [f"volume_ml_{label}" for label in labels] if len(labels) > 1 else []
    writer = csv.DictWriter(out, [*COLUMNS, *names], lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_rows(document))
    return out.getvalue()


def _rows(document: FollowUpDocument) -> Iterator[dict[str, Any]]:
    times = {timepoint.name: timepoint for timepoint in document.timepoints}
    for lesion in document.lesions:
        for state in lesion.states:
            time = times[state.timepoint]
            row: dict[str, Any] = {"patient": document.patient, "lesion": lesion.id, "target": int(lesion.target)}
            row |= {"timepoint": time.name, "day": time.day, "days": time.days}
            row |= state.model_dump(include=set(COLUMNS) - {"timepoint"})
            row |= {f"volume_ml_{name}": volume for name, volume in state.volume_ml_by_label.items()}
            yield row | _change_cells(state.since_previous)


def _change_cells(change: ChangeRecord | None) -> dict[str, Any]:
    if change is None:
        return {}
    return {
        "since": change.since,
        "volume_percent": change.volume_percent,
        "volume_low_percent": change.volume_limits_percent[0],
        "volume_high_percent": change.volume_limits_percent[1],
        "volume_verdict": change.volume,
        "diameter_change_mm": change.diameter_mm,
        "diameter_low_mm": change.diameter_limits_mm[0],
        "diameter_high_mm": change.diameter_limits_mm[1],
        "diameter_verdict": change.diameter,
    }
