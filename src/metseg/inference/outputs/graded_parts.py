"""The tumour of a case that is predicted in parts, gathered for its grade."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metseg.grade_record import CaseGrade
from metseg.grading.case_grade import grade_of
from metseg.grading.grade_availability import NO_TUMOUR
from metseg.grading.grade_classifier import GradeClassifier
from metseg.grading.tumour import Tumour, joined_slices, tumour_of
from metseg.inference.prediction_data import PredictionData


@dataclass
class GradedParts:
    """The tumours of the parts of a case; nothing is kept if the model has no classifier of the grade."""

    _tumours: list[Tumour] = field(default_factory=list)
    _classifier: GradeClassifier | None = None
    _no_grade: str = ""

    def add(self, prediction: PredictionData) -> None:
        """Take a part in; its slices follow those that are there."""
        self._no_grade = prediction.no_grade
        if prediction.grade_classifier is None:
            return
        self._classifier = prediction.grade_classifier
        labels, image = np.asarray(prediction.labels, np.uint8), prediction.reference_image
        self._tumours.append(tumour_of(prediction.case, labels, prediction.scheme, grid=image))

    def grade(self) -> CaseGrade | None:
        """Return the grade of the case; None if it may not be shown, or no tumour was found."""
        if self._classifier is None:
            return None
        return grade_of(joined_slices(self._tumours), self._classifier)

    def document(self) -> dict[str, Any]:
        """Return the entries of ``<case>.json``: the grade, or why there is none; empty if that is not known."""
        grade = self.grade()
        if grade is not None:
            return {"grade": grade.model_dump(mode="json")}
        reason = self._no_grade or ("" if self._classifier is None else NO_TUMOUR)
        return {"no_grade": reason} if reason else {}
