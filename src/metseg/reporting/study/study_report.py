"""The study report as data: what a reader has to know of one examination, whatever page it is printed on.

Nothing in here identifies a patient: the study has a pseudonym, and what could not be read is told by code and number.
What is not known is None, never a guess.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Literal

from metseg.lesion import Lesion, Point

#: Stands on every page of every report.
RESEARCH_USE = "Research use only - not for diagnosis"


@dataclass(frozen=True)
class ReadImage:
    """An image of the study as it was read.

    Args:
        name: modality, such as ``t1c``.
        shape: (X, Y, Z) voxels.
        spacing_mm: of a voxel along these axes; None for pictures.
        source: the file or the DICOM series that it was read from; empty where that is not known or not to be said.
        reason: why that was taken for this modality, a clause; empty where that is not known.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: Point | None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Technique:
    """How the result came about.

    Args:
        sequences: what was read.
        reference: name of the sequence on whose grid the result lies; empty where that is not known.
        shape: (X, Y, Z) of the result; for pictures columns, rows, pictures.
        spacing_mm: of the result's voxels; None for pictures.
        oblique_degrees: by how much the result's axes lean away from those of the body; None for pictures.
        steps: what preprocessing did, one sentence each; None where that was not recorded.
        threshold: least probability that became lesion; None where that was not recorded.
        decisions: what else was decided on the way from probabilities to a mask, one sentence each.
        is_pictures: whether the study is a set of plain pictures, which know nothing of space.
        is_lettered: whether the signs of coordinates tell right from left: the origin is in the middle of the head.
        is_calibrated: whether the model's probabilities of lesions were fitted to validation lesions; None where that
            was not recorded.
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
    """What a model scored on patients it was not trained on, for one region.

    Args:
        part: ``test``, or ``validation``: patients by whom the end of the training was chosen.
        region: name of the region.
        patients: how many have a Dice coefficient.
        dice: mean over patients.
        low, high: 95 % bootstrap interval of the mean; None with a single patient.
        found, missed, false: lesions in all; None where they were not counted.
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


@dataclass(frozen=True)
class Model:
    """Which model it was, and what is known of it.

    Args:
        name: of the recipe that made it.
        fingerprint: hash over the checksums of its bundle; empty where it came from no bundle.
        is_described: whether the bundle was at hand when the report was made.
        summary: what it is, in a sentence.
        architecture: and its dimensions.
        trained_on: whose data, and how many patients.
        performance: on test patients, or else on validation patients; empty where nothing is known.
        leaks_patients: whether it had learnt from patients who were scored, which makes every figure too good.
    """

    name: str
    fingerprint: str = ""
    is_described: bool = False
    summary: str = ""
    architecture: str = ""
    trained_on: str = ""
    performance: tuple[Performance, ...] = ()
    leaks_patients: bool = False


@dataclass(frozen=True)
class Burden:
    """All lesions together; what needs a spacing is None for pictures.

    Args:
        lesions: how many.
        voxels: how many, or pixels.
        volume_ml: of all.
        by_class_ml: class to volume.
        diameter_mm: of the lesion that is longest.
    """

    lesions: int
    voxels: int
    volume_ml: float | None
    by_class_ml: dict[str, float] | None
    diameter_mm: float | None


@dataclass(frozen=True)
class KeyImage:
    """A picture of one lesion, or of the study where there is none.

    Args:
        png: the encoded picture.
        size: columns and rows of it.
        title: which lesion.
        caption: what is seen, and where the cut lies.
        alternative: the same for readers who do not see it.
    """

    png: bytes = field(repr=False)
    size: tuple[int, int]
    title: str
    caption: str
    alternative: str


@dataclass(frozen=True)
class StudyReport:
    """One examination, read by one model.

    Args:
        pseudonym: names the study.
        made_on: date of the report.
        version: of metseg, by which the study was read.
        technique: how.
        model: by which model.
        classes: names of the classes that the model tells apart; empty where that is not known.
        colours: class to the colour of its outline in words; empty where that is not known.
        lesions: the largest first; empty: no lesion found.
        key_images: of the largest lesions.
        lacking: what was not at hand for them, a sentence; empty: nothing.
        picture_names: of pictures, in order; empty for volumes, and where names were to be left out.
        unread: code of an error to how many images it kept from being read.
        warnings: of reading, preprocessing and prediction.
    """

    pseudonym: str
    made_on: date
    version: str
    technique: Technique
    model: Model
    classes: tuple[str, ...]
    lesions: tuple[Lesion, ...]
    key_images: tuple[KeyImage, ...] = ()
    lacking: str = ""
    picture_names: tuple[str, ...] = ()
    unread: dict[str, int] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def burden(self) -> Burden:
        """Return the sums over all lesions."""
        volumes = [lesion.volume_ml for lesion in self.lesions]
        diameters = [lesion.longest_diameter_mm for lesion in self.lesions if lesion.longest_diameter_mm is not None]
        measured = not self.technique.is_pictures
        return Burden(
            lesions=len(self.lesions),
            voxels=sum(lesion.voxels for lesion in self.lesions),
            volume_ml=_sum(volumes) if measured else None,
            by_class_ml=self._by_class_ml() if measured else None,
            diameter_mm=max(diameters, default=None),
        )

    @property
    def digest(self) -> str:
        """Return 12 hexadecimal digits over everything but the pictures: pages with other digits are another report."""
        facts: dict[str, Any] = asdict(replace(self, key_images=(), lesions=()))
        facts["lesions"] = [lesion.model_dump(mode="json") for lesion in self.lesions]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def _by_class_ml(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for lesion in self.lesions:
            for name, volume_ml in lesion.volume_ml_by_label.items():
                sums[name] = sums.get(name, 0.0) + volume_ml
        return sums


def _sum(volumes: Sequence[float | None]) -> float | None:
    """Return the sum; None where one is not known, for a sum without it would be too small."""
    known = [volume for volume in volumes if volume is not None]
    return sum(known) if len(known) == len(volumes) else None
