"""Grade the tumour of one case, as for ``<case>.json`` and the output of ``metseg grade predict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metseg.grade_record import CaseGrade, GradeReason
from metseg.grading.grade_classifier import GradeClassifier
from metseg.grading.tumour import Tumour
from metseg.grading.tumour_features import FEATURES, tumour_values

#: Features named with a grade, those with the largest contributions.
NAMED_FEATURES: Final = 5


def grade_of(tumour: Tumour, classifier: GradeClassifier) -> CaseGrade | None:
    """Return the grade of a tumour; None if there is no tumour."""
    return grade_of_values(tumour_values(tumour), classifier) if tumour.voxels else None


def grade_of_values(values: Mapping[str, float | None], classifier: GradeClassifier) -> CaseGrade:
    """Return the grade of a tumour from its features, with those that decided."""
    probability = classifier.probability(values)
    grade = classifier.grade(probability)
    first, second = classifier.classes
    named = list(classifier.contributions(values).items())[:NAMED_FEATURES]
    return CaseGrade(
        column=classifier.column,
        grade=grade,
        other=first if grade == second else second,
        probability=round(probability if grade == second else 1 - probability, 4),
        auc_text=classifier.scores.auc_text,
        decided_by=tuple(
            GradeReason(feature=name, value=values.get(name), unit=FEATURES[name].unit, contribution=round(part, 4))
            for name, part in named
            if part
        ),
    )
