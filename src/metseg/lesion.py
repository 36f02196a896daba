"""The record of one lesion, shared by predictions, their JSON documents, the service, the page and the reports."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Side = Literal["right", "left", "near midline"]

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Point = tuple[Finite, Finite, Finite]

#: Old names of two fields in the service of 0.1.0, and their names here.
_OLD_NAMES: Final = {"number": "id", "slice": "slice_index"}


class Lesion(BaseModel):
    """One connected lesion. Values in mm or mL are null if the images have no spacing."""

    # Unknown keys of later versions are accepted; values of the wrong type are not.
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int = Field(ge=1, description="1 is the largest. The same number marks the lesion in the instance map.")
    label: str = Field(
        description="Its most important class: the enhancing part, else another part of the core, else oedema."
    )
    voxels: int = Field(ge=1, description="Number of voxels; pixels of pictures.")
    voxels_by_label: dict[str, Count] = Field(default={}, description="The same by class.")
    volume_ml: Size | None = None
    volume_ml_by_label: dict[str, Size] = Field(default={}, description="The same by class; empty where not known.")
    voxels_range: tuple[Count, Count] | None = Field(
        default=None,
        description="Smallest and largest number of its voxels in the predictions of networks and mirror images: their "
        "spread, no calibrated confidence interval. Null where the uncertainty was not measured.",
    )
    volume_ml_range: tuple[Size, Size] | None = Field(default=None, description="The same in mL.")
    range_predictions: Count | None = Field(default=None, description="Number of predictions of the range.")
    longest_diameter_mm: Size | None = Field(
        default=None, description="The largest distance between two of its voxel corners."
    )
    longest_diameter_mm_by_label: dict[str, Size] = Field(
        default={}, description="The same between voxels of one class; empty where not known."
    )
    longest_axial_diameter_mm: Size | None = Field(default=None, description="The same within one axial slice.")
    longest_axial_diameter_mm_by_label: dict[str, Size] = Field(
        default={}, description="The same between voxels of one class; empty where not known."
    )
    centre_voxel: Point = Field(description="Centre of mass as array indices (x, y, z); pictures: column, row, slice.")
    centre_mm: Point | None = Field(default=None, description="Centre of mass in RAS mm.")
    typical_voxel: tuple[Count, Count, Count] | None = Field(
        default=None,
        description="The voxel of its most important class that is farthest from the border, as array indices; for "
        "pictures, in its largest region. The centre of mass can be outside of the lesion, this voxel never is. Null "
        "in results of versions without it.",
    )
    typical_mm: Point | None = Field(default=None, description="The same in RAS mm.")
    side: Side | None = Field(default=None, description="Side of the head; null where it is not known.")
    confidence: float = Field(
        ge=0, le=1, description="Mean probability over its voxels; calibrated where the model has an operating point."
    )
    slice_index: Count | None = Field(
        default=None, description="For pictures: the slice with its largest region, from 0; the first of several."
    )
    slices: tuple[Count, ...] = Field(default=(), description="For pictures: all slices it lies in, from 0.")
    slice_voxels: Count | None = Field(default=None, description="For pictures: pixels of its largest region.")
    slice_centre: tuple[Finite, Finite] | None = Field(
        default=None, description="For pictures: column and row of the centre of its largest region."
    )

    @property
    def shown_voxel(self) -> Point:
        """Return where a viewer shows the lesion, as array indices: its typical voxel, else its centre of mass."""
        return self.centre_voxel if self.typical_voxel is None else self.typical_voxel

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, content: Any) -> Any:
        """Read records of the service of 0.1.0: two fields had other names, and the side was part of a text."""
        if not isinstance(content, dict) or "number" not in content:
            return content
        renamed = {_OLD_NAMES.get(name, name): value for name, value in content.items()}
        place = renamed.pop("place", None)
        return {**renamed, "side": place if place in ("right", "left", "near midline") else None}

    def to_row(self) -> dict[str, Any]:
        """Return the record as a table row with one column per number.

        Points become three columns, ``centre_mm_x`` and so on. Values by class become one column for each of the
        lesion's classes, ``volume_ml_ET`` and so on.
        """
        row: dict[str, Any] = {}
        for name, value in self.model_dump(mode="json").items():
            if name.startswith(("centre_", "typical_")):
                row |= {f"{name}_{axis}": number for axis, number in zip("xyz", value or (None,) * 3, strict=True)}
            elif name.endswith("_by_label"):
                row |= {f"{name.removesuffix('_by_label')}_{label}": number for label, number in value.items()}
            elif name.endswith("_range"):
                ends = zip(("low", "high"), value or (None,) * 2, strict=True)
                row |= {f"{name.removesuffix('_range')}_{end}": number for end, number in ends}
            elif name == "slices":
                row[name] = " ".join(map(str, value))
            elif name != "slice_centre":
                row[name] = value
        return row


#: Columns of a lesion table of any model, in order; those by class follow.
COLUMNS: Final = (
    "id",
    "label",
    "voxels",
    "volume_ml",
    "longest_diameter_mm",
    "longest_axial_diameter_mm",
    *(f"{point}_{unit}_{axis}" for point in ("centre", "typical") for unit in ("voxel", "mm") for axis in "xyz"),
    "confidence",
    "side",
    "slice_index",
    "slices",
)

#: Columns of a table of lesions with a range of sizes; the last ones.
RANGE_COLUMNS: Final = ("voxels_low", "voxels_high", "volume_ml_low", "volume_ml_high", "range_predictions")

#: First column of a table of several cases.
CASE_COLUMN: Final = "case"

#: Fields with values by class, in the order of their columns.
_BY_LABEL: Final = ("voxels", "volume_ml", "longest_diameter_mm", "longest_axial_diameter_mm")


def lesions_csv(lesions: Sequence[Lesion], labels: Sequence[str] = (), more: Sequence[str] = ()) -> str:
    """Return lesions as CSV with a header; unknown values are empty.

    Args:
        lesions: one row each.
        labels: classes of the model; with more than one, columns by class are added. Lesions with a range of sizes
            add the columns of it.
        more: further fields of the records, as last columns.

    >>> lesions_csv([]).split(",")[:3], lesions_csv([], ["NETC", "ET"]).strip().split(",")[-1]
    (['id', 'label', 'voxels'], 'longest_axial_diameter_mm_ET')
    """
    return _csv([*COLUMNS, *_further_columns(labels, lesions), *more], (lesion.to_row() for lesion in lesions))


def lesions_csv_of_cases(cases: Mapping[str, Sequence[Lesion]], labels: Sequence[str] = ()) -> str:
    """Return the lesions of several cases as `lesions_csv` does, with the case in the first column.

    Args:
        cases: case to its lesions; a case without lesions has no row.
        labels: classes of the models; with more than one, columns by class are added.

    >>> lesions_csv_of_cases({}).split(",")[:3]
    ['case', 'id', 'label']
    """
    rows = ({CASE_COLUMN: case, **lesion.to_row()} for case, lesions in cases.items() for lesion in lesions)
    found = [lesion for lesions in cases.values() for lesion in lesions]
    return _csv([CASE_COLUMN, *COLUMNS, *_further_columns(labels, found)], rows)


def _further_columns(labels: Sequence[str], lesions: Iterable[Lesion]) -> list[str]:
    by_label = [f"{name}_{label}" for name in _BY_LABEL for label in labels] if len(labels) > 1 else []
    return by_label + list(RANGE_COLUMNS if any(lesion.range_predictions for lesion in lesions) else ())


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
