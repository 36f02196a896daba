"""Calibration of probabilities: expected calibration error, reliability curve, Brier score.

Of all voxels with a predicted probability of 0.7, seven in ten should be lesion (Murphy & Winkler 1977). The expected
calibration error is the mean gap over bins of probability, weighted by how many voxels each holds (Naeini et al. 2015;
Guo et al., arXiv:1706.04599). A case is stored as counts in a fixed number of bins, so memory does not grow.

Nearly all voxels of a head are background with a probability close to 0 in every model, so the error over all voxels is
tiny for any model. It is therefore also computed over the voxels with a probability of at least 1 %. This selection is
unbiased, because it depends on the probability only and not on the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.evaluation.statistics.confidence_intervals import RESAMPLES, Floats, Interval, bootstrap_pooled, ratio

#: Bins of probability: tenths, the lowest split at the edge of the foreground. The last one includes 1.
EDGES = (0.0, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

#: Least probability of a foreground voxel.
FOREGROUND = EDGES[1]

#: Columns of a histogram.
COUNT, PROBABILITY, LESION, SQUARED_ERROR = range(4)


@dataclass(frozen=True)
class ReliabilityBin:
    """One point of the reliability curve.

    Args:
        low: lower edge of the bin, included.
        high: upper edge of the bin.
        count: number of voxels (or predicted lesions) in the bin.
        mean_probability: their mean probability, the x coordinate of the point; None for an empty bin.
        observed: the share of them that is lesion (for predicted lesions: that is a hit), the y coordinate. `patients`
            counts the patients with entries in the bin; with only one there is no interval. None for an empty bin.
    """

    low: float
    high: float
    count: int
    mean_probability: float | None
    observed: Interval | None


@dataclass(frozen=True)
class Calibration:
    """Calibration pooled over all patients, with intervals from resampling patients.

    Args:
        bins: the reliability curve.
        ece: expected calibration error over everything, 0 (perfect) to 1.
        ece_foreground: the same over entries with a probability of at least 0.01; None if there are none.
        brier: mean squared difference of probability and truth (Brier 1950).
    """

    bins: tuple[ReliabilityBin, ...]
    ece: Interval | None
    ece_foreground: Interval | None
    brier: Interval | None


def reliability_histogram(probability: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]) -> Floats:
    """Return the reliability histogram of the probabilities of one case.

    Args:
        probability: any shape, 0..1 and finite.
        truth: the same shape; True for lesion.
    Returns:
        (bins, 4) float64: the number of entries, the sum of their probabilities, the number that is lesion, and the sum
        of the squared differences. Histograms of several cases can be added.

    >>> reliability_histogram(np.array([0.0, 0.95, 0.95]), np.array([False, True, False]))[-1].round(4).tolist()
    [2.0, 1.9, 1.0, 0.905]
    """
    background = probability < FOREGROUND
    histogram = np.zeros((len(EDGES) - 1, 4))
    # Nearly all voxels are background: they are summed without sorting them into bins.
    histogram[0] = _sums(probability[background], truth[background])
    chances, lesion = probability[~background].astype(np.float64), truth[~background]
    bins = np.digitize(chances, EDGES[1:-1])
    columns = (np.ones_like(chances), chances, lesion.astype(np.float64), (chances - lesion) ** 2)
    for column, weights in enumerate(columns):
        histogram[:, column] += np.bincount(bins, weights=weights, minlength=len(histogram))
    return histogram


def _sums(probability: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    squares = np.sum(np.square(probability, dtype=np.float64))
    of_lesion = float(np.sum(probability[truth], dtype=np.float64))
    lesion = float(np.count_nonzero(truth))
    # (p - y)² = p² - 2 p y + y, for y is 0 or 1.
    total = float(np.sum(probability, dtype=np.float64))
    return float(probability.size), total, lesion, float(squares) - 2 * of_lesion + lesion


def calibration_error(histograms: Sequence[Floats], *, resamples: int = RESAMPLES, seed: int = 0) -> Calibration | None:
    """Return the calibration of many cases.

    Args:
        histograms: one (bins, 4) per patient.
        resamples: of the bootstrap over patients.
        seed: of its draws.
    Returns:
        None if there is no patient or no entry with a probability.
    """
    if not histograms or not any(histogram[:, COUNT].any() for histogram in histograms):
        return None
    sums = np.stack([histogram.ravel() for histogram in histograms])
    having = ~np.isnan(_figures(sums))
    ece, foreground, brier, *observed = bootstrap_pooled(sums, _figures, having=having, resamples=resamples, seed=seed)
    return Calibration(_curve(np.sum(histograms, axis=0), observed), ece, foreground, brier)


def _curve(histogram: Floats, observed: Sequence[Interval | None]) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(
            low=low,
            high=high,
            count=int(row[COUNT]),
            mean_probability=float(row[PROBABILITY] / row[COUNT]) if row[COUNT] else None,
            observed=share,
        )
        for low, high, row, share in zip(EDGES[:-1], EDGES[1:], histogram, observed, strict=True)
    )


def _figures(sums: Floats) -> Floats:
    """Return (R, 3 + bins) from (R, bins · 4): both calibration errors, the Brier score, and each bin's share."""
    bins = sums.reshape(len(sums), len(EDGES) - 1, 4)
    # A bin's gap weighted by its share: |Σp / n - Σy / n| · n / N = |Σp - Σy| / N.
    gaps = np.abs(bins[..., PROBABILITY] - bins[..., LESION])
    counts = bins[..., COUNT]
    everything = ratio(gaps.sum(axis=1), counts.sum(axis=1))
    foreground = ratio(gaps[:, 1:].sum(axis=1), counts[:, 1:].sum(axis=1))
    brier = ratio(bins[..., SQUARED_ERROR].sum(axis=1), counts.sum(axis=1))
    return np.column_stack([everything, foreground, brier, ratio(bins[..., LESION], counts)])
