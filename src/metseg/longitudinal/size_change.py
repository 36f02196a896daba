"""Change of the size of a lesion between two examinations, and whether it exceeds the error of measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metseg.follow_up_document import Verdict
from metseg.longitudinal.measured_lesion import MeasuredLesion
from metseg.longitudinal.measurement_error import TWO_SIDED_95, size_error
from metseg.longitudinal.repeatability import Repeatability


class SizeChange(NamedTuple):
    """Change of size from one examination to a later one.

    Args:
        volume_percent: relative change of the volume.
        volume_limits_percent: changes between these two are expected of an unchanged lesion in 95 % of measurements.
        volume: verdict on the volume.
        diameter_mm: change of the longest axial diameter.
        diameter_limits_mm: as ``volume_limits_percent``.
        diameter: verdict on the diameter.
    """

    volume_percent: float
    volume_limits_percent: tuple[float, float]
    volume: Verdict
    diameter_mm: float
    diameter_limits_mm: tuple[float, float]
    diameter: Verdict


def size_change(
    before: Sequence[MeasuredLesion], after: Sequence[MeasuredLesion], outline: Repeatability
) -> SizeChange:
    """Return the change of a lesion, or of the pieces that it consists of together.

    Volumes of pieces are added; their diameter is that of the longest piece. Errors of pieces are independent.

    Args:
        before, after: the pieces at the two examinations, at least one each.
        outline: repeatability of the outlines.
    """
    volumes = [sum(lesion.volume_ml for lesion in lesions) for lesions in (before, after)]
    longest = [max(lesions, key=lambda lesion: lesion.longest_axial_mm) for lesions in (before, after)]
    joint = [_volume_error(lesions, outline) for lesions in (before, after)]
    logarithm = float(np.log(volumes[1] / volumes[0]))
    volume_limits = _limits(joint[1][1] - joint[0][1], [spread for spread, _ in joint])
    diameter = longest[1].longest_axial_mm - longest[0].longest_axial_mm
    ends = [size_error(lesion, outline) for lesion in longest]
    diameter_limits = _limits(
        ends[1].diameter_bias_mm - ends[0].diameter_bias_mm, [error.diameter_sd_mm for error in ends]
    )
    return SizeChange(
        volume_percent=100 * float(np.expm1(logarithm)),
        volume_limits_percent=(100 * float(np.expm1(volume_limits[0])), 100 * float(np.expm1(volume_limits[1]))),
        volume=_verdict(logarithm, volume_limits),
        diameter_mm=diameter,
        diameter_limits_mm=diameter_limits,
        diameter=_verdict(diameter, diameter_limits),
    )


def _volume_error(lesions: Sequence[MeasuredLesion], outline: Repeatability) -> tuple[float, float]:
    """Return standard deviation and mean of the error of the logarithm of a sum of volumes."""
    errors = [size_error(lesion, outline) for lesion in lesions]
    volumes = np.array([lesion.volume_ml for lesion in lesions])
    shares = volumes / volumes.sum()
    spreads = np.array([error.log_volume_sd for error in errors])
    biases = np.array([error.log_volume_bias for error in errors])
    return float(np.sqrt(np.square(shares * spreads).sum())), float((shares * biases).sum())


def _limits(bias: float, spreads: Sequence[float]) -> tuple[float, float]:
    reach = TWO_SIDED_95 * float(np.sqrt(np.square(spreads).sum()))
    return bias - reach, bias + reach


def _verdict(change: float, limits: tuple[float, float]) -> Verdict:
    if change > limits[1]:
        return "larger"
    return "smaller" if change < limits[0] else "within measurement error"
