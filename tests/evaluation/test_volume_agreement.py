"""Agreement of volumes against numpy on all the pairs at once, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.evaluation.statistics.volume_agreement import Moments, moments, volume_agreement


def split_moments(truth: np.ndarray, predicted: np.ndarray, patients: int) -> list[Moments]:
    cuts = np.array_split(np.arange(len(truth)), patients)
    return [moments(truth[cut], predicted[cut]) for cut in cuts]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), patients=st.integers(1, 6))
def test_equals_numpy_on_all_pairs(seed: int, patients: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.lognormal(0, 1.5, 24)
    predicted = truth * generator.lognormal(0, 0.4, 24)
    truth[::7] = 0.0  # nothing there: no relative difference
    found = volume_agreement(split_moments(truth, predicted, patients), resamples=20)
    assert found is not None
    assert found.relative is not None
    there = truth > 0
    for side, differences in (
        (found.absolute, predicted - truth),
        (found.relative, 100 * (predicted - truth)[there] / truth[there]),
    ):
        bias, deviation = differences.mean(), differences.std(ddof=1)
        assert side.observations == len(differences)
        assert side.lower_limit is not None
        assert side.upper_limit is not None
        assert side.bias.mean == pytest.approx(bias, rel=1e-8, abs=1e-9)
        assert side.lower_limit.mean == pytest.approx(bias - 1.96 * deviation, rel=1e-6)
        assert side.upper_limit.mean == pytest.approx(bias + 1.96 * deviation, rel=1e-6)
    covariance = np.cov(truth, predicted, ddof=0)
    lin = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (truth.mean() - predicted.mean()) ** 2)
    assert found.concordance is not None
    assert found.concordance.mean == pytest.approx(lin, rel=1e-6)


def test_equal_volumes_agree_perfectly() -> None:
    volumes = np.array([0.1, 3.0, 12.5])
    found = volume_agreement(split_moments(volumes, volumes, 3))
    assert found is not None
    assert found.absolute.bias.mean == 0.0
    assert found.absolute.lower_limit is not None
    assert found.absolute.lower_limit.mean == 0.0
    assert found.concordance is not None
    assert found.concordance.mean == pytest.approx(1.0)


def test_a_constant_surplus_is_bias_without_spread() -> None:
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    found = volume_agreement(split_moments(truth, truth + 0.5, 4))
    assert found is not None
    assert found.absolute.bias.mean == pytest.approx(0.5)
    assert found.absolute.upper_limit is not None
    assert found.absolute.upper_limit.mean == pytest.approx(0.5)
    assert found.concordance is not None
    assert found.concordance.mean < 1


def test_what_cannot_be_said_is_not_said() -> None:
    assert volume_agreement([Moments(), Moments()]) is None
    assert volume_agreement([]) is None
    one = volume_agreement([moments(np.array([2.0]), np.array([3.0]))])
    assert one is not None
    assert one.absolute.bias.mean == pytest.approx(1.0)
    assert (one.absolute.lower_limit, one.absolute.upper_limit) == (None, None)  # one difference has no spread
    nothing_true = volume_agreement([moments(np.array([0.0, 0.0]), np.array([3.0, 1.0]))])
    assert nothing_true is not None
    assert nothing_true.relative is None


def test_intervals_come_from_patients_not_from_lesions() -> None:
    """Many lesions of two patients tell as little as two patients do: the ends are those of the patients."""
    low, high = moments(np.ones(50), np.full(50, 1.0)), moments(np.ones(50), np.full(50, 3.0))
    found = volume_agreement([low, high])
    assert found is not None
    assert (found.absolute.bias.low, found.absolute.bias.high) == (pytest.approx(0.0), pytest.approx(2.0))
