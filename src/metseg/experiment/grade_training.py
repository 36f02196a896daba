"""Train and score a classifier of the grade: logistic regression, calibrated, in nested cross-validation by patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError, UsageError
from metseg.evaluation.statistics.calibration import Calibration, calibration_error, reliability_histogram
from metseg.evaluation.statistics.confidence_intervals import Statistic, bootstrap_pooled, ratio
from metseg.grading.grade_classifier import CalibrationBin, FeatureWeight, GradeScores
from metseg.runtime.progress import track

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Inverse strengths of the regularisation that the inner cross-validation chooses from.
REGULARISATIONS: Final = (0.001, 0.01, 0.1, 1.0, 10.0)
#: Folds of the outer and the inner cross-validation.
FOLDS: Final = 5
#: Fewest patients of each grade: with fewer, inner folds lack one grade.
LEAST_PATIENTS: Final = 5
MAX_ITERATIONS: Final = 2000


@dataclass(frozen=True)
class GradeTable:
    """Features and grades of examinations.

    Args:
        features: names of the columns.
        values: (N, F); NaN where a feature is not defined.
        positive: (N,) 1 for the second class, 0 for the first.
        patients: (N,) patient of each row.
    """

    features: tuple[str, ...]
    values: Floats
    positive: Ints
    patients: tuple[str, ...]

    def rows(self, chosen: npt.NDArray[np.intp]) -> GradeTable:
        """Return some of the rows."""
        patients = tuple(self.patients[row] for row in chosen)
        return GradeTable(self.features, self.values[chosen], self.positive[chosen], patients)

    @property
    def weights(self) -> Floats:
        """Return (N,) weights with which every patient counts the same."""
        rows = Counter(self.patients)
        return np.array([1 / rows[patient] for patient in self.patients])

    def patients_per_class(self) -> tuple[int, int]:
        """Return the number of patients of the first and of the second class."""
        first, second = ({self.patients[row] for row in np.flatnonzero(self.positive == value)} for value in (0, 1))
        return len(first), len(second)


@dataclass(frozen=True)
class FittedGrade:
    """A fitted regression with its calibration; arrays are (F,)."""

    mean: Floats
    spread: Floats
    coefficients: Floats
    intercept: float
    regularisation: float
    slope: float = 1.0
    offset: float = 0.0

    def logits(self, values: Floats) -> Floats:
        """Return (N,) output of the regression before the calibration."""
        return self.standardised(values) @ self.coefficients + self.intercept

    def probabilities(self, values: Floats) -> Floats:
        """Return (N,) calibrated probabilities of the second class."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * self.logits(values) + self.offset))))

    def standardised(self, values: Floats) -> Floats:
        """Return (N, F) standardised values; those that are not defined are 0, the mean."""
        return np.nan_to_num((values - self.mean) / self.spread, nan=0.0)

    def weights_of(self, features: Sequence[str]) -> tuple[FeatureWeight, ...]:
        """Return the features with their numbers, for the file."""
        rows = zip(features, self.mean, self.spread, self.coefficients, strict=True)
        return tuple(
            FeatureWeight(name=name, mean=float(mean), spread=float(spread), coefficient=float(coefficient))
            for name, mean, spread, coefficient in rows
        )


def require_sklearn() -> None:
    """Check that scikit-learn is installed.

    Raises:
        UsageError: ``usage.missing_extra``.
    """
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise UsageError(
            "a package that metseg grade train needs is not installed",
            expected="scikit-learn",
            cure="pip install 'metseg[grade]'",
            code="usage.missing_extra",
        )


def nested_probabilities(table: GradeTable, *, seed: int = 0, quiet: bool = False) -> Floats:
    """Return (N,) the probability of each row from a classifier that saw no examination of its patient.

    Args:
        table: of all patients.
        seed: of the folds.
        quiet: show no progress.
    Raises:
        InputError: ``input.too_few_patients``.
    """
    require_enough_patients(table)
    found = np.full(len(table.positive), np.nan)
    for train, held_out in track(list(patient_folds(table, FOLDS, seed)), "Cross-validation", quiet=quiet):
        found[held_out] = fit_grade(table.rows(train), seed=seed).probabilities(table.values[held_out])
    return found


def require_enough_patients(table: GradeTable) -> None:
    """Refuse a table with too few patients of a grade.

    Raises:
        InputError: ``input.too_few_patients``.
    """
    if min(table.patients_per_class()) < LEAST_PATIENTS:
        first, second = table.patients_per_class()
        raise InputError(
            "too few patients of a grade for a nested cross-validation",
            expected=f"at least {LEAST_PATIENTS} of each grade",
            got=f"{first} and {second}",
            cure="add patients",
            code="input.too_few_patients",
        )


def patient_folds(table: GradeTable, folds: int, seed: int) -> Iterator[tuple[npt.NDArray[np.intp], ...]]:
    """Yield the rows of training and held-out patients: no patient is on both sides, grades have their shares."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(min(folds, *table.patients_per_class()), shuffle=True, random_state=seed)
    yield from splitter.split(table.values, table.positive, groups=np.asarray(table.patients))


def fit_grade(table: GradeTable, *, seed: int = 0) -> FittedGrade:
    """Return the classifier of a table: regularisation and calibration come from an inner cross-validation."""
    inner = list(patient_folds(table, FOLDS, seed))
    held_out = {strength: _held_out_logits(table, inner, strength) for strength in REGULARISATIONS}
    best = min(held_out, key=lambda strength: _log_loss(held_out[strength], table))
    slope, offset = _calibration(held_out[best], table)
    fitted = _regression(table, best)
    return FittedGrade(fitted.mean, fitted.spread, fitted.coefficients, fitted.intercept, best, slope, offset)


def _held_out_logits(table: GradeTable, folds: Sequence[tuple[npt.NDArray[np.intp], ...]], strength: float) -> Floats:
    logits = np.zeros(len(table.positive))
    for train, held_out in folds:
        logits[held_out] = _regression(table.rows(train), strength).logits(table.values[held_out])
    return logits


def _regression(table: GradeTable, strength: float) -> FittedGrade:
    """Return the regression without calibration; the standardisation is that of the table."""
    from sklearn.linear_model import LogisticRegression

    defined = ~np.isnan(table.values)
    counts = np.maximum(defined.sum(axis=0), 1)
    mean = np.where(defined, table.values, 0).sum(axis=0) / counts
    spread = np.sqrt((np.where(defined, table.values - mean, 0.0) ** 2).sum(axis=0) / counts)
    # A constant feature says nothing: its standardised value is then 0 in the training.
    spread = np.where(spread > 1e-12 * np.maximum(np.abs(mean), 1), spread, 1.0)
    start = FittedGrade(mean, spread, np.zeros(len(mean)), 0.0, strength)
    model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
    model.fit(start.standardised(table.values), table.positive, sample_weight=table.weights)
    return FittedGrade(mean, spread, np.asarray(model.coef_[0]), float(model.intercept_[0]), strength)


def _log_loss(logits: Floats, table: GradeTable) -> float:
    """Return the mean logistic loss, every patient with the same weight."""
    signs = np.where(table.positive == 1, 1.0, -1.0)
    return float(np.average(np.logaddexp(0, -signs * logits), weights=table.weights))


def _calibration(logits: Floats, table: GradeTable) -> tuple[float, float]:
    """Return slope and intercept on held-out logits (Platt 1999).

    Where higher logits do not go with the second class, they carry no information: the slope is 0 and the probability
    is the share of the second class.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=MAX_ITERATIONS)
    model.fit(logits[:, None], table.positive, sample_weight=table.weights)
    slope = float(model.coef_[0][0])
    if slope > 0:
        return slope, float(model.intercept_[0])
    share = float(np.average(table.positive, weights=table.weights))
    return 0.0, float(np.log(share / (1 - share)))


def grade_scores(probabilities: Floats, table: GradeTable, *, seed: int = 0) -> GradeScores:
    """Return AUC, calibration and their intervals over patients.

    Args:
        probabilities: (N,) of rows of patients outside the training; examinations of a patient are averaged.
        table: of the same rows.
        seed: of the bootstrap.
    Raises:
        InputError: ``input.one_grade``, all patients have the same grade.
    """
    names = list(dict.fromkeys(table.patients))
    place = np.array([names.index(patient) for patient in table.patients])
    chances = np.bincount(place, weights=probabilities) / np.bincount(place)
    positive = np.zeros(len(names), dtype=bool)
    positive[place] = table.positive == 1
    if positive.all() or not positive.any():
        raise InputError(
            "all patients have the same grade, so an AUC is not defined",
            expected="patients of both grades",
            cure="add patients of the other grade",
            code="input.one_grade",
        )
    (auc,) = bootstrap_pooled(np.eye(len(names)), _auc_statistic(chances, positive), seed=seed)
    # Two grades are at least two patients, so all of these are defined.
    assert auc is not None
    assert auc.low is not None
    assert auc.high is not None
    histograms = [reliability_histogram(chances[[n]], positive[[n]]) for n in range(len(names))]
    calibration = calibration_error(histograms, seed=seed)
    assert calibration is not None
    assert calibration.brier is not None
    assert calibration.ece is not None
    return GradeScores(
        patients=len(names),
        positive=int(positive.sum()),
        auc=auc.mean,
        auc_low=auc.low,
        auc_high=auc.high,
        brier=calibration.brier.mean,
        calibration_error=calibration.ece.mean,
        curve=_curve(calibration),
    )


def _auc_statistic(chances: Floats, positive: npt.NDArray[np.bool_]) -> Statistic:
    """Return the function from how often each patient was drawn, (R, N), to the AUC, (R, 1); ties count half."""
    higher = chances[positive][:, None] - chances[~positive][None]
    wins = (higher > 0) + 0.5 * (higher == 0)

    def auc(drawn: Floats) -> Floats:
        first, second = drawn[:, ~positive], drawn[:, positive]
        pairs = first.sum(axis=1) * second.sum(axis=1)
        return ratio(np.einsum("rp,rp->r", second @ wins, first), pairs)[:, None]

    return auc


def _curve(calibration: Calibration) -> tuple[CalibrationBin, ...]:
    return tuple(
        CalibrationBin(
            low=one.low,
            high=one.high,
            patients=one.count,
            mean_probability=one.mean_probability,
            observed=one.observed.mean,
        )
        for one in calibration.bins
        if one.mean_probability is not None and one.observed is not None
    )
