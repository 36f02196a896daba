"""The error of measurement, and whether a change exceeds it."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.longitudinal.follow_up import FollowUpOptions, follow_timepoints
from metseg.longitudinal.measured_lesion import MeasuredLesion, measure_lesions
from metseg.longitudinal.measurement_error import grid_error
from metseg.longitudinal.repeatability import GRID_ONLY, given_repeatability
from metseg.longitudinal.size_change import size_change
from metseg.longitudinal.timepoint import Timepoint

from .conftest import Draw

CENTRE = (30.0, 30.0, 30.0)


def lesion_of(timepoint: Timepoint) -> MeasuredLesion:
    (lesion,) = measure_lesions(timepoint)
    return lesion


def test_the_error_of_the_grid_falls_with_size_and_rises_with_the_voxel() -> None:
    spreads = [grid_error(radius, (1.0, 1.0, 1.0)).volume_sd for radius in (1.5, 3.0, 6.0)]
    assert spreads == sorted(spreads, reverse=True)
    assert grid_error(3.0, (1.0, 1.0, 5.0)).volume_sd > 3 * grid_error(3.0, (1.0, 1.0, 1.0)).volume_sd


def test_diameters_between_corners_are_longer_by_about_a_voxel() -> None:
    error = grid_error(6.0, (1.0, 1.0, 1.0))
    assert 0.3 < error.diameter_bias_mm < 1.5
    assert abs(error.volume_bias) < 0.02


def test_the_same_sphere_elsewhere_on_the_grid_is_rarely_changed(draw: Draw) -> None:
    rng = np.random.default_rng(3)
    first = lesion_of(draw((CENTRE, 4.0)))
    places = np.asarray(CENTRE) + rng.uniform(-0.5, 0.5, (40, 3))
    verdicts = [size_change([first], [lesion_of(draw((tuple(at), 4.0)))], GRID_ONLY).volume for at in places]
    assert verdicts.count("within measurement error") >= 34


@pytest.mark.parametrize(("radius", "verdict"), [(5.0, "larger"), (3.2, "smaller"), (4.05, "within measurement error")])
def test_real_changes_exceed_the_error(draw: Draw, radius: float, verdict: str) -> None:
    change = size_change([lesion_of(draw((CENTRE, 4.0)))], [lesion_of(draw((CENTRE, radius)))], GRID_ONLY)
    assert change.volume == verdict
    assert change.volume_percent == pytest.approx(100 * ((radius / 4.0) ** 3 - 1), abs=8)
    assert change.volume_limits_percent[0] < 0 < change.volume_limits_percent[1]


def test_a_given_repeatability_widens_the_limits(draw: Draw) -> None:
    pair = [lesion_of(draw((CENTRE, 4.0)))], [lesion_of(draw((CENTRE, 4.4)))]
    assert size_change(*pair, GRID_ONLY).volume == "larger"
    wide = given_repeatability(0.5)
    change = size_change(*pair, wide)
    assert change.volume == "within measurement error"
    assert change.volume_limits_percent[1] == pytest.approx(
        100 * np.expm1(1.96 * 3 * 0.5 * np.hypot(1 / 4, 1 / 4.4)), rel=0.05
    )
    assert change.diameter_limits_mm[1] == pytest.approx(1.96 * 1.0 * np.sqrt(2), rel=0.01)


def test_pieces_are_compared_together(draw: Draw) -> None:
    whole = measure_lesions(draw((CENTRE, 5.0)))
    pieces = measure_lesions(draw(((24.0, 30.0, 30.0), 3.0), ((36.0, 30.0, 30.0), 3.0)))
    change = size_change(whole, pieces, GRID_ONLY)
    assert change.volume_percent == pytest.approx(100 * (2 * 27 / 125 - 1), abs=6)
    assert change.volume == "smaller"


def test_another_voxel_size_shifts_the_limits_by_its_bias(draw: Draw) -> None:
    fine, coarse = lesion_of(draw((CENTRE, 4.0))), lesion_of(draw((CENTRE, 4.0), step=2.0))
    low, high = size_change([fine], [coarse], GRID_ONLY).diameter_limits_mm
    assert (low + high) / 2 > 0.3  # corners of larger voxels lie farther apart


def test_the_document_says_where_the_error_comes_from(draw: Draw) -> None:
    times = [draw((CENTRE, 4.0), name=name) for name in "ab"]
    assert "grid alone" in follow_timepoints(times, "P").document.error_source
    given = FollowUpOptions(repeatability_mm=0.3)
    assert "0.3 mm" in follow_timepoints(times, "P", given).document.error_source
