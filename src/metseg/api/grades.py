"""Train, score and apply a classifier of the grade of gliomas. Research use only; not a diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metseg.argument_checks import optional_path, require_instance, require_path, require_texts
from metseg.errors import InputError, UsageError
from metseg.experiment.grade_cohort import Cohort, Outlines, predicted_outlines, read_cohort, true_outlines, two_classes
from metseg.experiment.grade_training import fit_grade, grade_scores, nested_probabilities, require_sklearn
from metseg.grade_record import CaseGrade
from metseg.grading.case_grade import grade_of_values
from metseg.grading.grade_classifier import TRUTH, GradeClassifier, GradeScores, read_grade_classifier
from metseg.io.case_discovery import data_part
from metseg.message_text import pluralize


@dataclass(frozen=True)
class GradeData:
    """A data set for grades, and how it is read.

    Args:
        root: its folder; ``IMAGES::MASKS`` if masks are under another root.
        model: name or folder of a bundle that outlines the tumours; None: the masks of the data set are used.
        layout: a name in `metseg.layouts`; "auto": detected automatically.
        channels: what the channels of pictures are; only without a model.
        labels: label scheme of the masks; only without a model.
        device: for the model, such as ``auto`` or ``cpu``.
        features_file: CSV for the features of every tumour; None: none is written.
        quiet: show no progress.
        tell: called with notes on what was left out; None: not called.
    Raises:
        UsageError: an argument of a wrong type, or channels with a model.
    """

    root: str | Path
    model: str | Path | None = None
    layout: str = "auto"
    channels: Sequence[str] = ()
    labels: str = "binary"
    device: str = "auto"
    features_file: str | Path | None = None
    quiet: bool = False
    tell: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        require_path("root", self.root)
        require_texts("channels", self.channels)
        optional_path("features_file", self.features_file)
        require_instance("labels", self.labels, str, expected="the name of a label scheme")
        if self.model is not None and (self.channels or self.labels != "binary"):
            raise UsageError(
                "a model says itself how its data are read",
                where="model",
                cure="leave out channels and labels",
                code="usage.options",
            )

    def outlines(self) -> Outlines:
        """Return where the outlines of the tumours come from."""
        if self.model is not None:
            return predicted_outlines(self.model, layout=self.layout, device=self.device)
        options = {"layout": self.layout, "channels": tuple(self.channels), "labels": self.labels}
        return true_outlines(data_part(None, options))  # type: ignore[arg-type]

    def cohort(self, outlines: Outlines, column: str | None) -> Cohort:
        """Read the data set, and write the table of features if a file for it is given."""
        cohort = read_cohort(self.root, outlines, column=column, quiet=self.quiet)
        if self.features_file is not None:
            cohort.write_csv(Path(self.features_file))
        return cohort


def train_grade(
    data: GradeData, column: str, out: str | Path, *, positive: str | None = None, seed: int = 0
) -> GradeClassifier:
    """Train a classifier of two grades, score it in nested cross-validation by patient, and write it as JSON.

    Args:
        data: at least five patients of each grade.
        column: of ``patients.csv``; ``grade`` is also the folders HGG and LGG of BraTS 2018 to 2020.
        out: the file, such as ``grade.json`` in the folder of the bundle that outlined the tumours.
        positive: the higher grade; None: HGG, or the last in alphabetical order.
        seed: of folds and bootstrap.
    Returns:
        the classifier, with its scores on patients outside the training.
    Raises:
        UsageError: scikit-learn is not installed (extra ``grade``), or there are not exactly two grades.
        InputError: too few patients, no such column, or data that cannot be read.

    Examples:
        ::

            classifier = train_grade(GradeData("LGG", channels=["t1n", "t2f", "t1c"]), "who_grade", "grade.json")
            classifier.scores.auc_text
    """
    require_sklearn()
    target = require_path("out", out)
    outlines = data.outlines()
    cohort = data.cohort(outlines, column)
    classes = two_classes(cohort, positive)
    cohort = cohort.of_grades(classes)
    _tell(cohort, data)
    table = cohort.table(cohort.defined_features(), classes[1])
    scores = grade_scores(nested_probabilities(table, seed=seed, quiet=data.quiet), table, seed=seed)
    fitted = fit_grade(table, seed=seed)
    classifier = GradeClassifier(
        column=column,
        classes=classes,
        outlines=outlines.source,
        labels=outlines.labels,
        features=fitted.weights_of(table.features),
        intercept=fitted.intercept,
        regularisation=fitted.regularisation,
        calibration=(fitted.slope, fitted.offset),
        patients=tuple(dict.fromkeys(table.patients)),
        scores=scores,
    )
    classifier.write(target)
    return classifier


def evaluate_grade(classifier: GradeClassifier | str | Path, data: GradeData, column: str) -> GradeScores:
    """Score a classifier on patients outside its training.

    Args:
        classifier: or its file.
        data: other patients than those of the training, with the same kind of outlines.
        column: of ``patients.csv`` with the same two grades.
    Raises:
        InputError: ``input.leak``, a patient was part of the training; ``input.one_grade``.
        UsageError: ``usage.outlines``, the outlines are of another kind.
        BundleError: the file is damaged.
    """
    loaded, outlines = _with_outlines(classifier, data)
    cohort = data.cohort(outlines, column).of_grades(loaded.classes)
    _tell(cohort, data)
    known = sorted({one.patient for one in cohort.examinations} & set(loaded.patients))
    if known:
        raise InputError(
            f"the classifier was trained on {pluralize(len(known), 'patient')} of this data set",
            where=f"patient {known[0]}",
            cure="score on other patients; the scores of the cross-validation are in the file",
            code="input.leak",
        )
    if not cohort.examinations:
        raise InputError(
            "no patient has one of the grades of the classifier",
            where=column,
            expected=", ".join(loaded.classes),
            cure="name the column with these grades",
            code="input.column",
        )
    names = tuple(one.name for one in loaded.features)
    table = cohort.table(names, loaded.classes[1])
    return grade_scores(np.array([loaded.probability(one.values) for one in cohort.examinations]), table)


def predict_grade(classifier: GradeClassifier | str | Path, data: GradeData) -> Mapping[str, CaseGrade]:
    """Return case -> grade.

    Args:
        classifier: or its file; the whole interval of its AUC has to lie above 0.5.
        data: with the same kind of outlines as in the training.
    Raises:
        UsageError: ``usage.grade_not_available``, the classifier is not better than chance; ``usage.outlines``.
        BundleError: the file is damaged.
    """
    loaded, outlines = _with_outlines(classifier, data)
    if not loaded.scores.beats_chance:
        raise UsageError(
            "the grade is not available: the classifier is not better than chance",
            expected="an interval of the AUC above 0.5",
            got=loaded.scores.auc_text,
            cure="train on more patients",
            code="usage.grade_not_available",
        )
    cohort = data.cohort(outlines, None)
    _tell(cohort, data)
    return {one.case_id: grade_of_values(one.values, loaded) for one in cohort.examinations}


def _with_outlines(classifier: GradeClassifier | str | Path, data: GradeData) -> tuple[GradeClassifier, Outlines]:
    """Return a classifier and outlines of the kind that it was trained on."""
    loaded = (
        classifier
        if isinstance(classifier, GradeClassifier)
        else read_grade_classifier(require_path("classifier", classifier))
    )
    outlines = data.outlines()
    if outlines.source != loaded.outlines or outlines.labels != loaded.labels:
        raise UsageError(
            "the classifier was trained on other outlines",
            expected=_outlines_text(loaded.outlines, loaded.labels),
            got=_outlines_text(outlines.source, outlines.labels),
            cure="add --model with that bundle, or leave it out for true masks; name their scheme with --labels",
            code="usage.outlines",
        )
    return loaded, outlines


def _outlines_text(source: str, labels: str) -> str:
    return f"true masks ({labels})" if source == TRUTH else f"masks of the bundle {source} ({labels})"


def _tell(cohort: Cohort, data: GradeData) -> None:
    if data.tell is not None:
        for note in cohort.notes:
            data.tell(note)
