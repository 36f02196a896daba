"""Classifiers of grades: separable and random patients, no leakage, the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metseg.errors import BundleError, InputError
from metseg.experiment.grade_training import (
    GradeTable,
    fit_grade,
    grade_scores,
    nested_probabilities,
    patient_folds,
)
from metseg.grading.case_grade import grade_of_values
from metseg.grading.grade_classifier import GradeClassifier, GradeScores, read_grade_classifier

NAMES = ("volume", "elongation", "bright_share")


def patients(count: int, *, shift: float, examinations: int = 1, seed: int = 0) -> GradeTable:
    """Return patients with a first feature that differs by a shift between the grades, and two of noise."""
    generator = np.random.default_rng(seed)
    positive = np.repeat(np.arange(count) % 2, examinations)
    values = generator.normal(size=(len(positive), 3))
    values[:, 0] += shift * positive
    names = tuple(f"P{row // examinations}" for row in range(len(positive)))
    return GradeTable(NAMES, values, positive, names)


def classifier_of(table: GradeTable) -> GradeClassifier:
    fitted = fit_grade(table)
    return GradeClassifier(
        column="grade",
        classes=("LGG", "HGG"),
        outlines="truth",
        labels="binary",
        features=fitted.weights_of(NAMES),
        intercept=fitted.intercept,
        regularisation=fitted.regularisation,
        calibration=(fitted.slope, fitted.offset),
        patients=tuple(dict.fromkeys(table.patients)),
        scores=grade_scores(nested_probabilities(table, quiet=True), table),
    )


@pytest.fixture(scope="module")
def separable() -> tuple[GradeTable, GradeClassifier]:
    table = patients(60, shift=6)
    return table, classifier_of(table)


def test_separable_patients_have_an_auc_near_1(separable: tuple[GradeTable, GradeClassifier]) -> None:
    scores = separable[1].scores
    assert scores.auc > 0.97
    assert scores.auc_low > 0.9
    assert scores.beats_chance
    assert scores.brier < 0.1


def test_random_grades_are_not_available() -> None:
    table = patients(60, shift=0)
    scores = grade_scores(nested_probabilities(table, quiet=True), table)
    assert scores.auc_low < 0.5 < scores.auc_high
    assert not scores.beats_chance


def test_the_auc_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    table = patients(40, shift=1)
    chances = np.round(np.random.default_rng(1).random(40), 1)  # with ties
    assert grade_scores(chances, table).auc == pytest.approx(roc_auc_score(table.positive, chances))


def test_no_patient_is_on_both_sides() -> None:
    table = patients(30, shift=1, examinations=3)
    for train, held_out in patient_folds(table, 5, seed=0):
        assert not {table.patients[row] for row in train} & {table.patients[row] for row in held_out}
    # Noise that only identifies patients: a split by examination would make it predictive.
    same = np.repeat(np.random.default_rng(0).normal(size=(30, 3)), 3, axis=0)
    table = GradeTable(NAMES, same, table.positive, table.patients)
    scores = grade_scores(nested_probabilities(table, quiet=True), table)
    assert scores.patients == 30
    assert not scores.beats_chance


def test_a_value_that_is_not_defined_counts_as_the_mean() -> None:
    table = patients(60, shift=6)
    table.values[::7, 1] = np.nan
    fitted = fit_grade(table)
    row = table.values[:1].copy()
    row[0, 1] = np.nan
    filled = row.copy()
    filled[0, 1] = fitted.mean[1]
    assert fitted.probabilities(row) == pytest.approx(fitted.probabilities(filled))


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        nested_probabilities(patients(8, shift=1), quiet=True)
    assert caught.value.code == "input.too_few_patients"


def test_patients_of_one_grade_have_no_auc() -> None:
    table = patients(10, shift=1)
    one = GradeTable(NAMES, table.values, np.ones(10, dtype=np.int64), table.patients)
    with pytest.raises(InputError) as caught:
        grade_scores(np.full(10, 0.5), one)
    assert caught.value.code == "input.one_grade"


def test_the_file_gives_the_same_probabilities_and_is_json(
    separable: tuple[GradeTable, GradeClassifier], tmp_path: Path
) -> None:
    table, classifier = separable
    again = read_grade_classifier(classifier.write(tmp_path / "grade.json"))
    assert again == classifier
    assert isinstance(json.loads((tmp_path / "grade.json").read_text("utf-8")), dict)
    rows = [dict(zip(NAMES, map(float, row), strict=True)) for row in table.values]
    assert [again.probability(row) for row in rows] == pytest.approx(fit_grade(table).probabilities(table.values))
    row = rows[1]
    logit = again.constant + sum(again.contributions(row).values())
    assert again.probability(row) == pytest.approx(1 / (1 + np.exp(-logit)))
    assert next(iter(again.contributions(row))) == "volume", "the feature that separates the grades decides"


def test_the_grade_of_a_case_names_what_decided(separable: tuple[GradeTable, GradeClassifier]) -> None:
    high = grade_of_values({"volume": 6.0, "elongation": 0.0, "bright_share": None}, separable[1])
    assert (high.grade, high.other) == ("HGG", "LGG")
    assert high.decided_by[0].feature == "volume"
    assert high.decided_by[0].unit == "mL"
    low = grade_of_values({"volume": 0.0, "elongation": 0.0, "bright_share": 0.0}, separable[1])
    assert low.grade == "LGG"
    assert low.probability > 0.5


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.update(intercept="high"),
        lambda content: content.update(format="other"),
        lambda content: content["features"][0].update(name="shoe_size"),
        lambda content: content["features"][0].update(spread=0),
        lambda content: content["scores"].update(auc=2),
        lambda content: content.pop("calibration"),
        lambda content: content.update(more=1),
    ],
)
def test_a_damaged_file_is_our_error(
    separable: tuple[GradeTable, GradeClassifier], tmp_path: Path, damage: object
) -> None:
    content = separable[1].model_dump(mode="json")
    damage(content)  # type: ignore[operator]
    path = tmp_path / "grade.json"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(BundleError) as caught:
        read_grade_classifier(path)
    assert caught.value.code == "model.grade"


@pytest.mark.parametrize("content", [b"", b"{", b"\x80\x04\x95", b"[1]", b'{"intercept": NaN}'])
def test_what_is_no_classifier_is_our_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "grade.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a classifier of grades"):
        read_grade_classifier(path)
    with pytest.raises(BundleError, match="no such file"):
        read_grade_classifier(tmp_path / "absent.json")


def test_an_interval_that_touches_chance_does_not_beat_it() -> None:
    scores = GradeScores(patients=9, positive=4, auc=0.8, auc_low=0.5, auc_high=0.9, brier=0.2, calibration_error=0.1)
    assert not scores.beats_chance
