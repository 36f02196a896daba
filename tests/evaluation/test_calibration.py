"""Calibration by hand, and against a plain loop over bins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.evaluation import Interval
from metseg.evaluation.statistics.calibration import EDGES, FOREGROUND, calibration_error, reliability_histogram


def of(probability: list[float], truth: list[int]) -> np.ndarray:
    return reliability_histogram(np.array(probability), np.array(truth, dtype=bool))


def test_by_hand() -> None:
    """Ten voxels at 0.85, six of them lesion; ninety at 0, one of them lesion."""
    histogram = of([0.85] * 10 + [0.0] * 90, [1] * 6 + [0] * 4 + [1] + [0] * 89)
    found = calibration_error([histogram, histogram])
    assert found is not None
    assert found.ece is not None
    assert found.ece_foreground is not None
    assert found.brier is not None
    assert found.ece.mean == pytest.approx((10 * 0.25 + 90 * (1 / 90)) / 100)
    assert found.ece_foreground.mean == pytest.approx(0.25)
    assert found.brier.mean == pytest.approx((6 * 0.15**2 + 4 * 0.85**2 + 1) / 100)
    bins = {one.low: one for one in found.bins if one.count}
    assert set(bins) == {0.0, 0.8}
    assert (bins[0.8].count, bins[0.8].mean_probability) == (20, pytest.approx(0.85))
    assert bins[0.8].observed is not None
    assert bins[0.8].observed.mean == pytest.approx(0.6)
    # two equal patients: whoever is drawn, the figures are the same
    assert found.ece.low == pytest.approx(found.ece.mean)
    assert found.ece.high == pytest.approx(found.ece.mean)


def test_empty_bins_have_no_curve() -> None:
    found = calibration_error([of([0.5], [1])])
    assert found is not None
    assert [one.mean_probability is None for one in found.bins] == [one.count == 0 for one in found.bins]
    assert [one.observed is None for one in found.bins] == [one.count == 0 for one in found.bins]
    assert found.ece is not None
    assert (found.ece.low, found.ece.high) == (None, None)  # one patient


def test_the_interval_of_a_bin_comes_from_the_patients_in_it() -> None:
    """In the bin from 0.8 on, one patient is right in 1 of 4, another in 3 of 4; of 0.5 only the third has any."""
    found = calibration_error([of([0.85] * 4, [1, 0, 0, 0]), of([0.85] * 4, [1, 1, 1, 0]), of([0.55] * 2, [1, 0])])
    assert found is not None
    bins = {one.low: one.observed for one in found.bins if one.observed is not None}
    assert set(bins) == {0.5, 0.8}
    # whoever of the first two is drawn alone makes the ends: 1 and 3 of 4
    assert bins[0.8] == Interval(0.5, pytest.approx(0.25), pytest.approx(0.75), patients=2, undefined=1)
    assert bins[0.5] == Interval(0.5, None, None, patients=1, undefined=2)


def test_nothing_at_all() -> None:
    assert calibration_error([]) is None
    assert calibration_error([of([], [])]) is None
    background = calibration_error([of([0.0, 0.001], [0, 0])])
    assert background is not None
    assert background.ece_foreground is None  # nothing has a probability of 1 %
    assert background.ece is not None


@pytest.mark.parametrize("edge", EDGES)
def test_bins_are_half_open_and_the_last_holds_1(edge: float) -> None:
    counts = of([edge], [0])[:, 0]
    expected = min(EDGES.index(edge), len(EDGES) - 2)
    assert counts.tolist() == [float(place == expected) for place in range(len(EDGES) - 1)]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), power=st.sampled_from([0.2, 1.0, 8.0]), single=st.booleans())
def test_equals_a_plain_loop(seed: int, power: float, single: bool) -> None:
    generator = np.random.default_rng(seed)
    probability = (generator.random((5, 4, 3)) ** power).astype(np.float32 if single else np.float64)
    truth = generator.random((5, 4, 3)) < 0.3
    histogram = reliability_histogram(probability, truth)
    for place, (low, high) in enumerate(itertools.pairwise(EDGES)):
        last = place == len(EDGES) - 2
        inside = [
            (float(p), bool(y))
            for p, y in zip(probability.ravel().astype(np.float64), truth.ravel(), strict=True)
            if low <= p and (p < high or last)
        ]
        expected = [
            len(inside),
            sum(p for p, _ in inside),
            sum(y for _, y in inside),
            sum((p - y) ** 2 for p, y in inside),
        ]
        assert histogram[place] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_histograms_of_parts_add_up(seed: int) -> None:
    generator = np.random.default_rng(seed)
    probability, truth = generator.random(50), generator.random(50) < 0.5
    parts = [reliability_histogram(probability[cut], truth[cut]) for cut in (slice(0, 17), slice(17, 50))]
    assert np.allclose(sum(parts), reliability_histogram(probability, truth))


def test_a_calibrated_model_has_a_small_error_and_a_confident_one_a_large() -> None:
    generator = np.random.default_rng(0)
    chances = generator.uniform(FOREGROUND, 1, 200_000)
    truth = generator.random(chances.size) < chances
    honest = calibration_error([reliability_histogram(chances, truth)])
    sure = calibration_error([reliability_histogram((chances > 0.5).astype(float), truth)])
    assert honest is not None
    assert sure is not None
    assert honest.ece is not None
    assert sure.ece is not None
    assert honest.ece.mean < 0.01
    assert sure.ece.mean == pytest.approx(0.25, abs=0.01)  # the mean distance of a chance from 0 or 1
