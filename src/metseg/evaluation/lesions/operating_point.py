"""The operating point: the least probability and the least size of a predicted lesion.

It is chosen on validation patients for a given rate of false positives: of all pairs of threshold and minimum size on
a grid that stay within the rate, the one that finds most lesions. Callers must pass validation patients only: training
patients would give results that are too good, and test patients could no longer serve as a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from metseg.errors import InputError
from metseg.evaluation.lesions.threshold_sweep import Grid, Sweep
from metseg.evaluation.metrics.overlap import Confusion, dice
from metseg.evaluation.statistics.confidence_intervals import RESAMPLES, Floats, Interval, bootstrap_pooled, ratio
from metseg.measure import IDENTITY, ConfidenceMap
from metseg.measure.confidence import logits

#: Values that are equal up to rounding count as equal.
_SAME = 1e-12


@dataclass(frozen=True)
class OperatingPoint:
    """The chosen point and its results on the patients it was chosen on, which are slightly too good.

    Args:
        threshold: least probability of lesion.
        minimum_size: least size of a connected piece, in `unit`.
        unit: "mm3", or "voxels" if the data have no spacing (pixels of pictures).
        asked_false_positives: the requested rate, per patient.
        false_positives_per_patient: mean over patients.
        sensitivity: found / lesions, all patients together.
        dice: mean over patients, of voxels pooled over each patient's cases.
        lesions: number of scored lesions behind the choice.
        patients: number of patients.
    """

    threshold: float
    minimum_size: float
    unit: str
    asked_false_positives: float
    false_positives_per_patient: Interval
    sensitivity: Interval
    dice: Interval
    lesions: int
    patients: int

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in a bundle's `metrics.json`."""
        return asdict(self)


def choose_operating_point(
    sweeps: Mapping[str, Sequence[Sweep]],
    false_positives: float,
    *,
    unit: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> OperatingPoint:
    """Return the point that finds most lesions within a rate of false positives per patient.

    Ties are broken by the highest Dice, then by fewer false positives, then by the threshold nearest to 0.5, then by
    the smaller size.

    Args:
        sweeps: patient to its cases, at least one patient and one case each; all of one grid.
        false_positives: the rate, at least 0; mean over patients of the mean over each patient's cases.
        unit: unit of the grid's minimum sizes, "mm3" or "voxels".
        resamples: of the bootstrap over patients.
        seed: of its draws.
    Raises:
        InputError: ``input.no_lesions``, no lesion to find; ``input.false_positives``, no point stays within the rate.
    """
    grid = next(iter(sweeps.values()))[0].grid
    table = np.stack([_patient(cases) for cases in sweeps.values()])  # (patients, 4, T, M)
    found, lesions, false, overlap = np.moveaxis(table, 1, 0)
    if not lesions.any():
        raise InputError("the validation patients have no lesions to find", code="input.no_lesions")
    figures = _Figures(ratio(found.sum(axis=0), lesions.sum(axis=0)), false.mean(axis=0), overlap.mean(axis=0))
    place = _best(figures, false_positives, grid)
    of_place = np.column_stack([table[:, :, place[0], place[1]], np.ones(len(table))])
    sensitivity, rate, mean_dice = bootstrap_pooled(
        of_place,
        _figures_of_point,
        having=~np.isnan(_figures_of_point(of_place)),
        resamples=resamples,
        seed=seed,
    )
    assert sensitivity is not None
    assert rate is not None
    assert mean_dice is not None
    return OperatingPoint(
        threshold=grid.thresholds[place[0]],
        minimum_size=grid.minimum_sizes[place[1]],
        unit=unit,
        asked_false_positives=false_positives,
        false_positives_per_patient=rate,
        sensitivity=sensitivity,
        dice=mean_dice,
        lesions=int(lesions[:, 0, 0].sum()),
        patients=len(table),
    )


@dataclass(frozen=True)
class _Figures:
    """(T, M) each: over all patients."""

    sensitivity: Floats
    false_positives: Floats
    dice: Floats


def _patient(cases: Sequence[Sweep]) -> Floats:
    """Return (4, T, M) of a patient: found, lesions, false positives (mean over the cases), Dice."""
    shape = cases[0].found.shape
    found = np.sum([case.found for case in cases], axis=0)
    false = np.mean([case.false for case in cases], axis=0)
    lesions = np.full(shape, sum(case.lesions for case in cases))
    return np.stack([found, lesions, false, _dice(cases)]).astype(np.float64)


def _dice(cases: Sequence[Sweep]) -> Floats:
    """Return the Dice of a patient's voxels at every point, (T, M)."""
    right = np.sum([case.true_positive for case in cases], axis=0)
    predicted = np.sum([case.predicted for case in cases], axis=0)
    truth = sum(case.truth for case in cases)
    pairs = zip(right.ravel().tolist(), predicted.ravel().tolist(), strict=True)
    values = [dice(Confusion(tp=tp, fp=marked - tp, fn=truth - tp, tn=0)) for tp, marked in pairs]
    return np.array(values).reshape(right.shape)


def _best(figures: _Figures, false_positives: float, grid: Grid) -> tuple[int, int]:
    allowed = figures.false_positives <= false_positives + _SAME
    if not allowed.any():
        raise InputError(
            "no threshold and size stay within this rate of false positives per patient",
            expected=f"at least {figures.false_positives.min():.3g}",
            got=f"{false_positives:g}",
            cure="allow a higher rate, or train a better model",
            code="input.false_positives",
        )
    thresholds, sizes = np.meshgrid(grid.thresholds, grid.minimum_sizes, indexing="ij")
    criteria = (-figures.sensitivity, -figures.dice, figures.false_positives, np.abs(thresholds - 0.5), sizes)
    for criterion in criteria:
        allowed &= criterion <= criterion[allowed].min() + _SAME
    row, column = np.argwhere(allowed)[0]
    return int(row), int(column)


def _figures_of_point(sums: Floats) -> Floats:
    """Return (R, 3) from (R, 5): sensitivity, false positives per patient, Dice."""
    found, lesions, false, overlap, patients = sums.T
    return np.column_stack([ratio(found, lesions), false / patients, overlap / patients])


#: Weight of the prior towards the identity map, in lesions. It keeps the fit finite with few lesions, or if the
#: confidence separates hits and misses completely.
_PRIOR = 4.0


def fit_confidence(confidences: Floats, hits: npt.NDArray[np.bool_]) -> ConfidenceMap:
    """Fit the map from the confidences of predicted lesions to their share of hits.

    Logistic regression of hits on the logits of the confidences, with a normal prior around the identity.

    Args:
        confidences: (N,) mean probabilities of predicted lesions of validation patients.
        hits: (N,) whether each was a lesion.
    Returns:
        the map; the identity if there is no predicted lesion.
    """
    if len(confidences) == 0:
        return IDENTITY
    from scipy.optimize import minimize  # half a second of import that scoring does not need

    features = np.column_stack([logits(confidences), np.ones(len(confidences))])
    identity = np.array([IDENTITY.slope, IDENTITY.intercept])
    signs = np.where(hits, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        """Return the negative log likelihood with the prior, and its gradient; it is convex."""
        scores = signs * (features @ weights)
        away = weights - identity
        gradient = -(signs * expit(-scores)) @ features + _PRIOR * away
        return float(np.logaddexp(0.0, -scores).sum() + _PRIOR / 2 * away @ away), gradient

    slope, intercept = minimize(loss, identity, jac=True, method="BFGS").x
    return ConfidenceMap(slope=float(slope), intercept=float(intercept))
