"""The operating point against a search by hand, and the calibration of confidences against a plain fit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.errors import InputError
from metseg.evaluation.lesions.operating_point import choose_operating_point, fit_confidence
from metseg.evaluation.lesions.threshold_sweep import Grid, Sweep
from metseg.measure import IDENTITY, ConfidenceMap

GRID = Grid((0.3, 0.5, 0.7), (0.0, 5.0))


def swept(lesions: int, found: list[list[int]], false: list[list[int]], right: list[list[int]] | None = None) -> Sweep:
    """Return a case of ten true voxels on three thresholds and two sizes; all predicted voxels are right."""
    voxels = np.array(right if right is not None else [[0, 0]] * 3, dtype=np.int64)
    return Sweep(GRID, lesions, np.array(found), np.array(false), voxels, voxels, 10)


def test_most_lesions_within_the_rate() -> None:
    a = swept(4, [[4, 3], [3, 2], [1, 1]], [[6, 2], [3, 1], [0, 0]])
    b = swept(2, [[2, 2], [2, 1], [1, 0]], [[4, 0], [1, 0], [0, 0]])
    expected = {  # rate: threshold, size, found of 6, false per patient
        9.0: (0.3, 0.0, 6, 5.0),
        2.0: (0.3, 5.0, 5, 1.0),  # as many as 0.5 without a size, which has two false ones
        0.5: (0.5, 5.0, 3, 0.5),
        0.0: (0.7, 0.0, 2, 0.0),
    }
    for rate, (threshold, size, found, false) in expected.items():
        point = choose_operating_point({"a": [a], "b": [b]}, rate, unit="mm3")
        assert (point.threshold, point.minimum_size) == (threshold, size), rate
        assert point.sensitivity.mean == pytest.approx(found / 6)
        assert point.false_positives_per_patient.mean == pytest.approx(false)
        assert (point.lesions, point.patients, point.asked_false_positives) == (6, 2, rate)


def test_of_equal_sensitivity_the_better_dice_then_the_threshold_nearest_to_a_half() -> None:
    found, false = [[1, 1]] * 3, [[0, 0]] * 3
    by_dice = swept(1, found, false, [[2, 2], [4, 4], [9, 6]])
    point = choose_operating_point({"a": [by_dice]}, 1.0, unit="voxels")
    assert (point.threshold, point.minimum_size, point.unit) == (0.7, 0.0, "voxels")
    assert point.dice.mean == pytest.approx(2 * 9 / (9 + 10))
    alike = choose_operating_point({"a": [swept(1, found, false)]}, 1.0, unit="mm3")
    assert (alike.threshold, alike.minimum_size) == (0.5, 0.0)


def test_studies_of_one_patient_are_averaged() -> None:
    """Four false ones in one of two studies are two per patient, not four."""
    often = [swept(1, [[1, 1]] * 3, [[4, 4]] * 3), swept(1, [[1, 1]] * 3, [[0, 0]] * 3)]
    point = choose_operating_point({"a": often}, 2.0, unit="mm3")
    assert point.false_positives_per_patient.mean == pytest.approx(2.0)
    assert point.lesions == 2


def test_what_cannot_be_chosen() -> None:
    with pytest.raises(InputError, match="no lesion") as caught:
        choose_operating_point({"a": [swept(0, [[0, 0]] * 3, [[1, 1]] * 3)]}, 1.0, unit="mm3")
    assert caught.value.code == "input.no_lesions"
    with pytest.raises(InputError, match="at least 3") as caught:
        choose_operating_point({"a": [swept(1, [[1, 1]] * 3, [[4, 3]] * 3)]}, 1.0, unit="mm3")
    assert caught.value.code == "input.false_positives"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rate=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_no_allowed_point_finds_more(seed: int, rate: float) -> None:
    generator = np.random.default_rng(seed)
    sweeps = {}
    for patient in range(4):
        found = np.minimum(generator.integers(0, 6, (3, 2)), 5)
        false = generator.integers(0, 3, (3, 2))
        false[2, 1] = 0  # one point is always allowed
        sweeps[str(patient)] = [swept(5, found.tolist(), false.tolist())]
    point = choose_operating_point(sweeps, rate, unit="mm3", resamples=20)
    assert point.false_positives_per_patient.mean <= rate
    for row, column in itertools.product(range(3), range(2)):
        cases = [case for one in sweeps.values() for case in one]
        if np.mean([case.false[row, column] for case in cases]) <= rate:
            assert sum(case.found[row, column] for case in cases) / 20 <= point.sensitivity.mean + 1e-12


def test_confidences_that_are_too_sure_are_pulled_in() -> None:
    generator = np.random.default_rng(0)
    logit = generator.normal(0, 1.5, 20_000)
    hits = generator.random(logit.size) < 1 / (1 + np.exp(-(0.5 * logit - 1.0)))
    confidences = 1 / (1 + np.exp(-logit))
    found = fit_confidence(confidences, hits)
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.intercept == pytest.approx(-1.0, abs=0.05)
    calibrated = found(confidences)
    for low, high in ((0.1, 0.2), (0.3, 0.5)):
        inside = (calibrated >= low) & (calibrated < high)
        assert hits[inside].mean() == pytest.approx(calibrated[inside].mean(), abs=0.03)


def test_few_lesions_change_little_and_separable_ones_do_not_run_away() -> None:
    assert fit_confidence(np.zeros(0), np.zeros(0, dtype=bool)) == IDENTITY
    few = fit_confidence(np.array([0.6, 0.7]), np.array([True, False]))
    assert abs(few.slope - 1) < 0.3
    assert abs(few.intercept) < 0.5
    apart = fit_confidence(np.array([0.55] * 30 + [0.95] * 30), np.array([False] * 30 + [True] * 30))
    assert np.isfinite([apart.slope, apart.intercept]).all()
    assert 1 < apart.slope < 10
    assert apart(np.array([0.55]))[0] < 0.5 < apart(np.array([0.95]))[0]


def test_the_fit_is_the_minimum_of_its_loss() -> None:
    """Against a grid search over the penalised likelihood as it is documented."""
    generator = np.random.default_rng(4)
    confidences = generator.uniform(0.5, 1.0, 40)
    hits = generator.random(40) < 0.6
    logit = np.log(confidences / (1 - confidences))

    def loss(slope: float, intercept: float) -> float:
        chance = 1 / (1 + np.exp(-(slope * logit + intercept)))
        likelihood = np.sum(np.log(np.where(hits, chance, 1 - chance)))
        return float(-likelihood + 2.0 * ((slope - 1) ** 2 + intercept**2))

    found = fit_confidence(confidences, hits)
    best = loss(found.slope, found.intercept)
    for step in itertools.product((-0.01, 0.0, 0.01), repeat=2):
        assert best <= loss(found.slope + step[0], found.intercept + step[1]) + 1e-9


def test_the_identity_changes_nothing() -> None:
    values = np.array([0.0, 0.123456789, 1.0])
    assert np.array_equal(IDENTITY(values), values)
    assert np.isfinite(ConfidenceMap(2.0, 0.5)(values)).all()
