"""Whether a grade may be shown with a result, and why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from metseg.grade_record import NO_GLIOMAS
from metseg.grading.grade_classifier import GRADE_FILE, GradeClassifier, read_grade_classifier

#: Label schemes of data sets of gliomas.
GLIOMA_SCHEMES: Final = frozenset({"brats-gli-2021", "brats-gli-2023", "brats-2015", "decathlon-brain"})
_GLIOMA: Final = re.compile(r"glioma|glioblastoma|\b[LH]GG\b", re.IGNORECASE)

NO_CLASSIFIER: Final = "no classifier of the grade is stored with this model"
NO_TUMOUR: Final = "no tumour was found"
OTHER_OUTLINES: Final = "the classifier stored with this model was trained on other outlines than those of this model"


def is_glioma_model(labels: str, licence: str) -> bool:
    """Return whether a model was trained on gliomas, by its label scheme and the text on its data.

    >>> is_glioma_model("binary", "TCGA-LGG slices: low-grade glioma"), is_glioma_model("brats-met-2023", "")
    (True, False)
    """
    return labels in GLIOMA_SCHEMES or _GLIOMA.search(licence) is not None


def stored_classifier(folder: Path) -> GradeClassifier | None:
    """Return the classifier in the folder of a bundle; None without one.

    Raises:
        BundleError: ``model.grade``, the file is damaged.
    """
    path = folder / GRADE_FILE
    return read_grade_classifier(path) if path.is_file() else None


def why_not_available(folder: Path, *, labels: str, licence: str, fingerprint: str) -> str:
    """Return why results of a bundle have no grade, one clause; empty if they have one.

    Args:
        folder: of the bundle.
        labels, licence: of its recipe.
        fingerprint: of the bundle.
    Raises:
        BundleError: ``model.grade``, the classifier is damaged.
    """
    if not is_glioma_model(labels, licence):
        return NO_GLIOMAS
    classifier = stored_classifier(folder)
    if classifier is None:
        return NO_CLASSIFIER
    if classifier.outlines != fingerprint:
        return OTHER_OUTLINES
    if not classifier.scores.beats_chance:
        return f"the classifier stored with this model is not better than chance: {classifier.scores.auc_text}"
    return ""


def usable_classifier(folder: Path, *, labels: str, licence: str, fingerprint: str) -> GradeClassifier | None:
    """Return the classifier of a bundle if grades of it may be shown, else None; arguments as `why_not_available`."""
    reason = why_not_available(folder, labels=labels, licence=licence, fingerprint=fingerprint)
    return None if reason else stored_classifier(folder)
