"""Volume agreement, the basis of response assessment (Bland & Altman, Lancet 1986; Stat Methods Med Res 1999).

The difference is always prediction minus truth. Limits of agreement are bias ± 1.96 standard deviations: 19 of 20
differences lie between them if they are normally distributed. Several cases or lesions of one patient are not
independent, so the intervals of bias and limits come from resampling patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metseg.evaluation.statistics.confidence_intervals import RESAMPLES, Floats, Interval, bootstrap_pooled, ratio

#: Standard deviations from the bias to a limit of agreement.
LIMIT_SD = 1.96


class Moments(NamedTuple):
    """Sums over any number of pairs of volumes, mL, from which agreement is computed. Sums can be added.

    Args:
        n: pairs.
        difference, difference_2: Σ d and Σ d², d = prediction - truth.
        n_relative: pairs with a nonempty truth.
        relative, relative_2: Σ r and Σ r² over these, r = 100 d / truth, percent.
        truth, predicted, truth_2, predicted_2, product: Σ t, Σ p, Σ t², Σ p², Σ t p.
    """

    n: float = 0.0
    difference: float = 0.0
    difference_2: float = 0.0
    n_relative: float = 0.0
    relative: float = 0.0
    relative_2: float = 0.0
    truth: float = 0.0
    predicted: float = 0.0
    truth_2: float = 0.0
    predicted_2: float = 0.0
    product: float = 0.0


@dataclass(frozen=True)
class BlandAltman:
    """Bias and limits of agreement.

    Args:
        unit: "mL" or "%".
        observations: number of differences.
        bias: mean difference, prediction minus truth; positive: too much is marked.
        lower_limit: bias - 1.96 standard deviations.
        upper_limit: bias + 1.96 standard deviations.
    """

    unit: str
    observations: int
    bias: Interval
    lower_limit: Interval | None
    upper_limit: Interval | None


@dataclass(frozen=True)
class VolumeAgreement:
    """Agreement of predicted with true volumes.

    The points of the Bland-Altman plot are in the tables: `truth_volume_mm3` and `predicted_volume_mm3` of `cases.csv`
    for the total, `volume_mm3` and `predicted_volume_mm3` of the found lesions in `lesions.csv`.

    Args:
        absolute: differences in mL.
        relative: differences in percent of nonzero true volumes; None if there are none.
        concordance: Lin's concordance correlation coefficient (Biometrics 1989), 1 for equal volumes; None if all
            volumes are the same.
    """

    absolute: BlandAltman
    relative: BlandAltman | None
    concordance: Interval | None


@dataclass(frozen=True)
class Volumes:
    """Volume agreement of one region.

    Args:
        total: of the region's whole volume; one observation per case.
        lesions: of each found lesion and the predicted ones merged with it. Missed lesions are not included; they are
            counted under detection. None if no lesion was found.
    """

    total: VolumeAgreement
    lesions: VolumeAgreement | None


def moments(truth_ml: Floats, predicted_ml: Floats) -> Moments:
    """Return the sums over pairs of volumes, (N,) each.

    >>> moments(np.array([2.0, 0.0]), np.array([3.0, 1.0]))[:6]
    (2.0, 2.0, 2.0, 1.0, 50.0, 2500.0)
    """
    difference = predicted_ml - truth_ml
    there = truth_ml > 0
    relative = 100 * difference[there] / truth_ml[there]
    columns = (
        np.ones_like(difference),
        difference,
        difference**2,
        np.ones_like(relative),
        relative,
        relative**2,
        truth_ml,
        predicted_ml,
        truth_ml**2,
        predicted_ml**2,
        truth_ml * predicted_ml,
    )
    return Moments(*(float(column.sum()) for column in columns))


def volume_agreement(sums: Sequence[Moments], *, resamples: int = RESAMPLES, seed: int = 0) -> VolumeAgreement | None:
    """Return the agreement of all patients' volumes.

    Args:
        sums: of each patient.
        resamples: of the bootstrap over patients.
        seed: of its draws.
    Returns:
        None if no patient has a pair of volumes.
    """
    table = np.array(sums, dtype=np.float64).reshape(len(sums), len(Moments._fields))
    total = Moments(*table.sum(axis=0).tolist())
    if total.n == 0:
        return None
    # Bias and both limits in mL, the same in percent, concordance.
    pairs, relative = (table[:, Moments._fields.index(name)] > 0 for name in ("n", "n_relative"))
    having = np.column_stack([pairs] * 3 + [relative] * 3 + [pairs])
    found = bootstrap_pooled(table, _statistics, having=having, resamples=resamples, seed=seed)
    return VolumeAgreement(
        absolute=_bland_altman("mL", total.n, found[0:3]),
        relative=_bland_altman("%", total.n_relative, found[3:6]) if total.n_relative else None,
        concordance=found[6],
    )


def _bland_altman(unit: str, observations: float, found: Sequence[Interval | None]) -> BlandAltman:
    bias, lower, upper = found
    assert bias is not None
    return BlandAltman(unit, int(observations), bias, lower, upper)


def _statistics(sums: Floats) -> Floats:
    """Return (R, 7) from (R, 11): bias and both limits in mL, the same in percent, concordance."""
    by_name = dict(zip(Moments._fields, sums.T, strict=True))
    absolute = _limits(by_name["n"], by_name["difference"], by_name["difference_2"])
    relative = _limits(by_name["n_relative"], by_name["relative"], by_name["relative_2"])
    return np.column_stack([*absolute, *relative, _concordance(by_name)])


def _limits(n: Floats, total: Floats, squares: Floats) -> tuple[Floats, Floats, Floats]:
    """Return bias, lower and upper limit; the limits are not defined for a single observation."""
    bias = ratio(total, n)
    # Rounding of the sums may give a slightly negative value if all differences are the same.
    deviation = np.sqrt(np.maximum(ratio(squares - n * bias**2, n - 1), 0.0))
    return bias, bias - LIMIT_SD * deviation, bias + LIMIT_SD * deviation


def _concordance(sums: dict[str, Floats]) -> Floats:
    """Return 2 cov(t, p) / (var t + var p + (mean t - mean p)²), with the moments over N as Lin has them."""
    n = sums["n"]
    truth, predicted = ratio(sums["truth"], n), ratio(sums["predicted"], n)
    covariance = ratio(sums["product"], n) - truth * predicted
    spread = ratio(sums["truth_2"] + sums["predicted_2"], n) - truth**2 - predicted**2
    apart = spread + (truth - predicted) ** 2
    negligible = apart <= 1e-12 * np.maximum(ratio(sums["truth_2"] + sums["predicted_2"], n), 1e-300)
    return ratio(2 * covariance, np.where(negligible, 0.0, apart))
