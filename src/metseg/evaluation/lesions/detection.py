"""Lesion detection: sensitivity by size, false positives, and their trade-off over the threshold (FROC).

A lesion is found if the rule of the protocol matches it. Sensitivity is pooled over the lesions of all patients,
false positives are a mean over patients; intervals come from resampling patients with all their lesions.
FROC: Bunch et al. 1978; Chakraborty, Med Phys 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metseg.evaluation.lesions.lesion_counts import LesionCounts
from metseg.evaluation.lesions.lesion_scores import DIAMETER_BINS
from metseg.evaluation.lesions.threshold_sweep import Sweep
from metseg.evaluation.statistics.confidence_intervals import RESAMPLES, Floats, Interval, bootstrap_pooled, ratio

#: False positives per patient at which the sensitivities of a FROC curve are averaged (LUNA16, arXiv:1612.08012).
FROC_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class SizeClass:
    """The lesions of one bin of the longest diameter.

    Args:
        diameter_mm: the bin, half open: "[0,3)", "[3,5)", "[5,10)", "[10,inf)".
        lesions: number of scored true lesions.
        found: number of these that were found.
        sensitivity: found / lesions; None if there is no lesion of this size.
        false_positives: number of false positive lesions of this size.
    """

    diameter_mm: str
    lesions: int
    found: int
    sensitivity: Interval | None
    false_positives: int


@dataclass(frozen=True)
class Detection:
    """Detection of one region's lesions, over all patients.

    Args:
        lesions: number of scored true lesions.
        found: number of these that were found.
        false_positives: number of false positive lesions.
        sensitivity: found / lesions; None without lesions.
        precision: found / (found + false positives); None if both are 0.
        f1: 2 found / (lesions + found + false positives): the harmonic mean of the two; None if all are 0.
        false_positives_per_patient: mean over patients (of the mean over each patient's cases).
        by_diameter: the same by longest diameter; empty if the data have no spacing.
    """

    lesions: int
    found: int
    false_positives: int
    sensitivity: Interval | None
    precision: Interval | None
    f1: Interval | None
    false_positives_per_patient: Interval
    by_diameter: tuple[SizeClass, ...]


@dataclass(frozen=True)
class FrocPoint:
    """Detection at one probability threshold. Each connected component at or above it is a predicted lesion.

    Args:
        threshold: least probability of lesion.
        sensitivity: found / lesions over all patients.
        false_positives_per_patient: mean over patients.
    """

    threshold: float
    sensitivity: Interval | None
    false_positives_per_patient: Interval


@dataclass(frozen=True)
class Froc:
    """Sensitivity against false positives over the threshold, for lesions of any class and size.

    Args:
        lesions: scored lesions of the truth.
        points: by rising threshold.
        score: mean over 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per patient of the highest sensitivity that a
            threshold with at most so many has (0 where none has); None without lesions.
    """

    lesions: int
    points: tuple[FrocPoint, ...]
    score: Interval | None


def detection_rates(
    tallies: Sequence[LesionCounts], false_positives: Interval, *, resamples: int = RESAMPLES, seed: int = 0
) -> Detection:
    """Return the detection results of one region.

    Args:
        tallies: one per patient, at least one; see `metseg.evaluation.lesions.lesion_counts.add_counts`.
        false_positives: the mean number per patient, already in the table of metrics.
        resamples: of the bootstrap over patients.
        seed: of its draws.
    """
    sums = np.array([[*tally.lesions, *tally.found, *tally.false] for tally in tallies], dtype=np.float64)
    having = ~np.isnan(_shares(sums))
    *by_size, sensitivity, precision, f1 = bootstrap_pooled(
        sums, _shares, having=having, resamples=resamples, seed=seed
    )
    lesions, found, false = sums.sum(axis=0).astype(int).reshape(3, -1)
    # The last bin contains lesions without a known diameter. If there are any, no bins are reported.
    known = not (lesions[-1] or false[-1])
    bins = zip(DIAMETER_BINS, lesions[:-1], found[:-1], by_size[:-1], false[:-1], strict=True) if known else ()
    return Detection(
        lesions=int(lesions.sum()),
        found=int(found.sum()),
        false_positives=int(false.sum()),
        sensitivity=sensitivity,
        precision=precision,
        f1=f1,
        false_positives_per_patient=false_positives,
        by_diameter=tuple(SizeClass(name, int(n), int(hit), share, int(fp)) for name, n, hit, share, fp in bins),
    )


def _shares(sums: Floats) -> Floats:
    """Return (R, bins + 3) from (R, 3 · bins): sensitivity by bin, then of all sensitivity, precision, F1."""
    lesions, found, false = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    every, hit, wrong = lesions.sum(axis=1), found.sum(axis=1), false.sum(axis=1)
    shares = (ratio(hit, every), ratio(hit, hit + wrong), ratio(2 * hit, every + hit + wrong))
    return np.column_stack([ratio(found, lesions), *shares])


def froc_curve(sweeps: Sequence[Sequence[Sweep]], *, resamples: int = RESAMPLES, seed: int = 0) -> Froc:
    """Return the FROC curve, without a minimum size.

    Args:
        sweeps: for each patient those of its cases, at least one; all of one grid.
        resamples: of the bootstrap over patients.
        seed: of its draws.
    """
    thresholds = sweeps[0][0].grid.thresholds
    rows = [
        [
            *np.sum([sweep.found[:, 0] for sweep in of_patient], axis=0),
            *np.mean([sweep.false[:, 0] for sweep in of_patient], axis=0),
            sum(sweep.lesions for sweep in of_patient),
            1.0,
        ]
        for of_patient in sweeps
    ]
    sums = np.array(rows, dtype=np.float64)
    having = ~np.isnan(_froc_figures(sums))
    figures = bootstrap_pooled(sums, _froc_figures, having=having, resamples=resamples, seed=seed)
    of_points, score = figures[:-1], figures[-1]
    count = len(thresholds)
    points = []
    for threshold, sensitivity, false in zip(thresholds, of_points[:count], of_points[count:], strict=True):
        assert false is not None  # a mean over at least one patient
        points.append(FrocPoint(threshold, sensitivity, false))
    return Froc(int(sum(row[-2] for row in rows)), tuple(points), score)


def _froc_figures(sums: Floats) -> Floats:
    """Return (R, 2 T + 1) from (R, 2 T + 2): sensitivities, false positives per patient, the score."""
    found, false, lesions, patients = np.split(sums, [(half := sums.shape[1] // 2 - 1), 2 * half, 2 * half + 1], axis=1)
    sensitivity, rate = ratio(found, lesions), false / patients
    allowed = rate[:, :, np.newaxis] <= np.array(FROC_RATES)
    best = np.where(allowed, sensitivity[:, :, np.newaxis], 0.0).max(axis=1)
    # Without a lesion the score is undefined, even if a threshold stays within the rates.
    score = np.where(lesions[:, 0] > 0, best.mean(axis=1), np.nan)
    return np.column_stack([sensitivity, rate, score])
