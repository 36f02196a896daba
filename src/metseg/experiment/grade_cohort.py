"""Examinations of a data set with the features of their tumours and the grades of their patients."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metseg.errors import InputError, UsageError
from metseg.experiment.grade_training import GradeTable
from metseg.grading.grade_classifier import TRUTH
from metseg.grading.tumour import Tumour, tumour_of
from metseg.grading.tumour_features import FEATURES, tumour_values
from metseg.io.case_discovery import find
from metseg.io.case_source import CaseSource
from metseg.io.clinical import UNKNOWN, patient_values, value_of
from metseg.io.prediction_inputs import find_inputs
from metseg.io.stratified_sampling import MISSING
from metseg.message_text import pluralize
from metseg.recipe import DataPart
from metseg.runtime.atomic_io import write_text
from metseg.runtime.progress import track
from metseg.volume import Case

#: Share of the examinations in which a feature has to be defined for a training.
LEAST_DEFINED = 0.5


@dataclass(frozen=True)
class Outlines:
    """Where the outlines of tumours come from.

    Args:
        tumour: returns the tumour of a case; None if the case has no mask.
        data: how the data set is read.
        labels: label scheme.
        source: `TRUTH`, or the fingerprint of a bundle.
    """

    tumour: Callable[[Case], Tumour | None]
    data: DataPart
    labels: str
    source: str


@dataclass(frozen=True)
class Examination:
    """One examination with a tumour.

    Args:
        case_id: of the case.
        patient: of the case.
        grade: of the patient; empty: not known.
        values: feature to value; None: not defined.
    """

    case_id: str
    patient: str
    grade: str
    values: dict[str, float | None]


@dataclass
class Cohort:
    """The examinations of a data set, and notes on those left out."""

    examinations: list[Examination]
    notes: list[str] = field(default_factory=list)

    def of_grades(self, classes: Sequence[str]) -> Cohort:
        """Return the examinations of some grades; a note counts the others."""
        kept = [one for one in self.examinations if one.grade in classes]
        others = Counter(one.grade or UNKNOWN for one in self.examinations if one.grade not in classes)
        notes = [
            f"left out: {pluralize(count, 'examination')} with the grade {grade}" for grade, count in others.items()
        ]
        return Cohort(kept, [*self.notes, *notes])

    def table(self, features: Sequence[str], positive: str) -> GradeTable:
        """Return features and grades as arrays.

        Raises:
            InputError: ``input.two_grades``, a patient has two grades.
        """
        seen: dict[str, str] = {}
        for one in self.examinations:
            if seen.setdefault(one.patient, one.grade) != one.grade:
                raise InputError(
                    "the examinations of a patient have different grades",
                    where=f"patient {one.patient}",
                    got=f"{seen[one.patient]}, {one.grade}",
                    cure="give the patient one grade",
                    code="input.two_grades",
                )
        rows = [[one.values[name] for name in features] for one in self.examinations]
        return GradeTable(
            tuple(features),
            np.array(rows, dtype=np.float64).reshape(len(rows), len(features)),
            np.array([one.grade == positive for one in self.examinations], dtype=np.int64),
            tuple(one.patient for one in self.examinations),
        )

    def defined_features(self) -> tuple[str, ...]:
        """Return the features that are defined in enough examinations; no grade plays a part in this."""
        least = LEAST_DEFINED * len(self.examinations)
        return tuple(
            name for name in FEATURES if sum(one.values[name] is not None for one in self.examinations) >= max(least, 1)
        )

    def write_csv(self, path: Path) -> None:
        """Write one row per examination: case, patient, grade, and a column per feature."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["case", "patient", "grade", *FEATURES])
        for one in self.examinations:
            rows.writerow([one.case_id, one.patient, one.grade, *(one.values[name] for name in FEATURES)])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text.getvalue())


def true_outlines(data: DataPart) -> Outlines:
    """Return the outlines of the data set's own masks."""

    def tumour(case: Case) -> Tumour | None:
        if case.labels is None:
            return None
        return tumour_of(case, np.asarray(case.labels.data, np.uint8), data.labels, grid=case.labels)

    return Outlines(tumour, data, data.labels, TRUTH)


def predicted_outlines(model: str | Path, *, layout: str, device: str) -> Outlines:
    """Return the outlines that a model predicts.

    Args:
        model: name or folder of a bundle.
        layout: of the data set.
        device: as for ``metseg predict``.
    """
    # These import torch, which takes seconds.
    from metseg.inference.predictor import Predictor
    from metseg.model.bundle import load_bundle
    from metseg.model_terms import require_accepted

    require_accepted(model)
    bundle = load_bundle(model)
    predictor = Predictor.from_bundle(bundle, device=device)
    data = bundle.recipe.data.model_copy(update={"layout": layout})

    def tumour(case: Case) -> Tumour:
        made = predictor(case)
        return tumour_of(made.case, made.labels, made.scheme, grid=made.reference_image)

    return Outlines(tumour, data, data.labels, bundle.fingerprint)


def read_cohort(root: str | Path, outlines: Outlines, *, column: str | None, quiet: bool = False) -> Cohort:
    """Read a data set and compute the features of every tumour.

    Args:
        root: the data set; ``IMAGES::MASKS`` if masks are under another root.
        outlines: from `true_outlines` or `predicted_outlines`.
        column: of ``patients.csv`` with the grades; ``grade`` is also the folders HGG and LGG of BraTS 2018 to 2020.
            None: no grades are needed.
        quiet: show no progress.
    Raises:
        InputError: ``input.column``, no patient has a value in the column; ``input.no_tumour``, no case has a tumour;
            or a file cannot be read.
    """
    sources = _sources(root, outlines, needs_grades=column is not None)
    if column is not None:
        patient_values(sources, column)
    cohort = Cohort([])
    for source in track(sources, "Measuring", quiet=quiet):
        tumour = outlines.tumour(source.load())
        if tumour is None or tumour.voxels == 0:
            what = "no mask" if tumour is None else "no tumour in its mask"
            cohort.notes.append(f"left out: {source.case_id} has {what}")
            continue
        grade = "" if column is None else _grade(source, column)
        cohort.examinations.append(Examination(source.case_id, source.patient, grade, tumour_values(tumour)))
    if not cohort.examinations:
        raise InputError(
            "no case has a tumour", where=root, cure="add masks, or outline with --model", code="input.no_tumour"
        )
    return cohort


def _sources(root: str | Path, outlines: Outlines, *, needs_grades: bool) -> Sequence[CaseSource]:
    """Return the cases of a data set; a model needs no masks, and studies without grades need no layout."""
    if outlines.source == TRUTH:
        return find(root, outlines.data).sources
    if not needs_grades:
        return find_inputs(Path(root), outlines.data)
    found = find(root, outlines.data)
    return [*found.sources, *found.unlabelled]


def _grade(source: CaseSource, column: str) -> str:
    value = value_of(source.attributes, column)
    return "" if value.lower() in MISSING or value == UNKNOWN else value


def two_classes(cohort: Cohort, positive: str | None) -> tuple[str, str]:
    """Return the lower and the higher grade of a cohort.

    Args:
        cohort: with grades.
        positive: the higher grade; None: HGG, or the last in alphabetical order.
    Raises:
        UsageError: ``usage.grades``, there are not exactly two grades, or ``positive`` is none of them.
    """
    grades = sorted({one.grade for one in cohort.examinations} - {""})
    higher = positive or ("HGG" if "HGG" in grades else grades[-1] if grades else "")
    if len(grades) != 2 or higher not in grades:
        raise UsageError(
            "a classifier needs exactly two grades",
            where="--positive" if len(grades) == 2 else "--column",
            expected="two values, or --positive as one of them" if len(grades) == 2 else "two values",
            got=", ".join(grades) if len(grades) != 2 else higher,
            cure="make a column with two values; empty cells are left out" if len(grades) != 2 else "give one of them",
            code="usage.grades",
        )
    return next(grade for grade in grades if grade != higher), higher
