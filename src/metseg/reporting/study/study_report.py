"""The data model of the study report, independent of its format.

Nothing identifies a patient: the study has a pseudonym, and unreadable images are listed by error code and number.
Unknown values are None.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Literal

from metseg.grade_record import CaseGrade
from metseg.headline import Headline
from metseg.lesion import Lesion, Point

#: Shown on every page of every report.
RESEARCH_USE = "Research use only - not for diagnosis"


@dataclass(frozen=True)
class ReadImage:
    """An image of the study as read.

    Args:
        name: modality, such as ``t1c``.
        shape: (X, Y, Z) voxels.
        spacing_mm: of a voxel along these axes; None for pictures.
        source: the file or the DICOM series; empty if not known or not to be shown.
        reason: why it was read as this modality, a clause; empty if not known.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: Point | None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Technique:
    """How the result was produced.

    Args:
        sequences: the images that were read.
        reference: name of the sequence that defines the grid of the result; empty if not known.
        shape: (X, Y, Z) of the result; for pictures columns, rows, pictures.
        spacing_mm: of the result's voxels; None for pictures.
        oblique_degrees: angle between the axes of the result and of the body; None for pictures.
        steps: preprocessing, one sentence per step; None if not recorded.
        threshold: least probability of lesion; None if not recorded.
        decisions: other postprocessing from probabilities to a mask, one sentence each.
        is_pictures: whether the study is a set of plain pictures without a position in space.
        is_lettered: whether the signs of coordinates indicate right and left: the origin is in the middle of the head.
        is_calibrated: whether the model's probabilities of lesions were fitted to validation lesions; None if not
            recorded.
    """

    sequences: tuple[ReadImage, ...]
    reference: str
    shape: tuple[int, int, int]
    spacing_mm: Point | None
    oblique_degrees: float | None
    steps: tuple[str, ...] | None
    threshold: float | None
    decisions: tuple[str, ...]
    is_pictures: bool
    is_lettered: bool = True
    is_calibrated: bool | None = None


@dataclass(frozen=True)
class Performance:
    """Scores of a model for one region, on patients who were not in the training set.

    Args:
        part: ``test``, or ``validation``: patients who decided which epoch was kept.
        region: name of the region.
        patients: number of patients with a Dice coefficient; of pictures where the patients are not known.
        dice: mean over patients.
        low, high: 95 % bootstrap interval of the mean; None with a single patient.
        found, missed, false: numbers of lesions; None if not counted.
        unit: what was counted, ``patients`` or ``pictures``.
        in_slices: whether a lesion was counted once in each slice that shows it.
    """

    part: Literal["test", "validation"]
    region: str
    patients: int
    dice: float
    low: float | None = None
    high: float | None = None
    found: int | None = None
    missed: int | None = None
    false: int | None = None
    unit: str = "patients"
    in_slices: bool = False


@dataclass(frozen=True)
class Model:
    """The model of a prediction.

    Args:
        name: of the recipe that made it.
        fingerprint: hash over the checksums of its bundle; empty if it did not come from a bundle.
        is_described: whether the bundle was available when the report was made.
        summary: description, one sentence.
        architecture: and its dimensions.
        trained_on: the training data, and the number of patients.
        performance: on test patients, or else on validation patients; empty if not known.
        leaks_patients: whether scored patients were part of the training data, which makes the scores too high.
        no_grade: why its results have no grade, one clause; empty if they have one, or if that is not known.
        is_simulated: whether it was trained and scored on simulated patients.
    """

    name: str
    fingerprint: str = ""
    is_described: bool = False
    summary: str = ""
    architecture: str = ""
    trained_on: str = ""
    performance: tuple[Performance, ...] = ()
    leaks_patients: bool = False
    no_grade: str = ""
    is_simulated: bool = False


@dataclass(frozen=True)
class Burden:
    """Totals over all lesions; values that need a spacing are None for pictures.

    Args:
        volume_ml: total volume.
        by_class_ml: class to volume.
    """

    volume_ml: float | None
    by_class_ml: dict[str, float] | None


@dataclass(frozen=True)
class KeyImage:
    """A picture of one lesion, or of the study if there is none.

    Args:
        png: the encoded picture.
        size: its columns and rows.
        title: the lesion.
        caption: description and position of the slices.
        alternative: text for readers who cannot see it.
    """

    png: bytes = field(repr=False)
    size: tuple[int, int]
    title: str
    caption: str
    alternative: str


@dataclass(frozen=True)
class StudyReport:
    """One examination, analysed by one model.

    Args:
        pseudonym: names the study.
        made_on: date of the report.
        version: version of metseg that made the prediction.
        technique: how the result was produced.
        model: the model.
        classes: names of the model's classes; empty if not known.
        colours: class to the name of the colour of its outline; empty if not known.
        lesions: the largest first; empty: no lesion found.
        headline: what a reader has to know first.
        key_images: of the largest lesions.
        lacking: sentence on missing data for them; empty: nothing is missing.
        picture_names: of pictures, in order; empty for volumes, and if names are left out.
        unread: error code to the number of images that could not be read.
        warnings: from reading, preprocessing and prediction.
        clinical: primary tumour, age, sex and earlier treatment, from a table beside the data; usually empty.
        grade: of the glioma, if it may be shown.
    """

    pseudonym: str
    made_on: date
    version: str
    technique: Technique
    model: Model
    classes: tuple[str, ...]
    lesions: tuple[Lesion, ...]
    headline: Headline
    key_images: tuple[KeyImage, ...] = ()
    lacking: str = ""
    picture_names: tuple[str, ...] = ()
    unread: dict[str, int] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    clinical: Mapping[str, str] = field(default_factory=dict)
    grade: CaseGrade | None = None

    @property
    def burden(self) -> Burden:
        """Return the sums over all lesions."""
        volumes = [lesion.volume_ml for lesion in self.lesions]
        measured = not self.technique.is_pictures
        return Burden(
            volume_ml=_sum(volumes) if measured else None,
            by_class_ml=self._by_class_ml() if measured else None,
        )

    @property
    def digest(self) -> str:
        """Return a digest of 12 hexadecimal digits over everything except the pictures, which identifies the report."""
        facts: dict[str, Any] = asdict(replace(self, key_images=(), lesions=()))
        if not self.clinical:  # reports without it keep the digest that they had
            del facts["clinical"]
        if not self.model.no_grade:
            del facts["model"]["no_grade"]
        facts.pop("grade")
        if self.grade is not None:
            facts["grade"] = self.grade.model_dump(mode="json")
        facts["headline"] = self.headline.model_dump(mode="json")
        facts["lesions"] = [lesion.model_dump(mode="json") for lesion in self.lesions]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def _by_class_ml(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for lesion in self.lesions:
            for name, volume_ml in lesion.volume_ml_by_label.items():
                sums[name] = sums.get(name, 0.0) + volume_ml
        return sums


def _sum(volumes: Sequence[float | None]) -> float | None:
    """Return the sum; None if any value is not known, because the sum would be too small."""
    known = [volume for volume in volumes if volume is not None]
    return sum(known) if len(known) == len(volumes) else None
