"""Smooth fields, bias, noise and displacement: their statistics, and scipy's splines as a second opinion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

from metseg.random_fields import bias_field, cubic_weights, elastic_displacement, rician_noise, smooth_field


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_weights_are_those_of_scipys_cubic_spline() -> None:
    size, scale = 23, 4.7
    ours = cubic_weights(size, scale)
    nodes = ours.shape[1]
    # Uniform knots such that coarse coordinate 0 lies in the first full interval.
    splines = BSpline(np.arange(-3, nodes + 1), np.eye(nodes), 3)(np.arange(size) / scale)
    np.testing.assert_allclose(ours, splines / np.linalg.norm(splines, axis=1, keepdims=True), atol=1e-6)


def test_every_voxel_is_a_unit_normal() -> None:
    rng = generator()
    draws = np.stack([smooth_field((9, 11), scale_voxels=4.0, rng=rng) for _ in range(4000)])
    assert np.abs(draws.mean(axis=0)).max() < 0.08
    assert np.abs(draws.std(axis=0) - 1).max() < 0.05


def test_neighbours_agree_and_far_voxels_do_not() -> None:
    rng = generator(1)
    draws = np.stack([smooth_field((40,), scale_voxels=6.0, rng=rng) for _ in range(4000)])
    correlation = np.corrcoef(draws.T)
    assert correlation[10, 11] > 0.97
    assert abs(correlation[5, 5 + 25]) < 0.06  # four nodes apart they share no random number


def test_a_scale_per_axis() -> None:
    field = smooth_field((60, 60), scale_voxels=(30.0, 3.0), rng=generator(2))
    assert np.abs(np.diff(field, axis=0)).mean() < 0.3 * np.abs(np.diff(field, axis=1)).mean()


@pytest.mark.parametrize("shape", [(7,), (7, 8), (5, 6, 7)])
def test_same_seed_same_field(shape: tuple[int, ...]) -> None:
    first, second, other = (smooth_field(shape, scale_voxels=3.0, rng=generator(seed)) for seed in (4, 4, 5))
    assert first.shape == shape
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_scale_must_be_positive_and_fit_the_axes() -> None:
    with pytest.raises(ValueError, match="positive"):
        smooth_field((4, 4), scale_voxels=0.0, rng=generator())
    with pytest.raises(ValueError, match="broadcast"):
        smooth_field((4, 4), scale_voxels=(1.0, 2.0, 3.0), rng=generator())


def test_bias_is_positive_with_mean_one_and_the_wanted_strength() -> None:
    fields = np.stack([bias_field((48, 48), strength=0.3, scale_voxels=6.0, rng=generator(seed)) for seed in range(20)])
    assert fields.min() > 0
    np.testing.assert_allclose(fields.mean(axis=(1, 2)), 1, atol=1e-5)
    assert np.log(fields).std() == pytest.approx(0.3, rel=0.1)
    np.testing.assert_allclose(bias_field((5, 5), strength=0.0, scale_voxels=2.0, rng=generator()), 1)


def test_noise_on_nothing_is_rayleigh_and_on_much_nearly_normal() -> None:
    nothing = rician_noise(np.zeros(200_000), 2.0, generator(6))
    assert nothing.min() >= 0
    assert nothing.mean() == pytest.approx(2.0 * np.sqrt(np.pi / 2), rel=0.01)
    assert nothing.std() == pytest.approx(2.0 * np.sqrt(2 - np.pi / 2), rel=0.01)
    much = rician_noise(np.full(200_000, 50.0), 2.0, generator(7))
    assert much.mean() == pytest.approx(50 + 2.0**2 / (2 * 50), abs=0.02)
    assert much.std() == pytest.approx(2.0, rel=0.01)


def test_displacement_has_the_amplitude_and_does_not_fold() -> None:
    field = elastic_displacement((90, 80), amplitude_voxels=3.0, scale_voxels=18.0, rng=generator(8))
    assert field.shape == (2, 90, 80)
    many = [elastic_displacement((20, 20), amplitude_voxels=3.0, scale_voxels=2.5, rng=generator(s)) for s in range(60)]
    assert np.std(many) == pytest.approx(3.0, rel=0.07)
    (xx, xy), (yx, yy) = (np.gradient(component) for component in field)
    assert ((1 + xx) * (1 + yy) - xy * yx).min() > 0


def test_displacement_in_three_dimensions_moves_each_axis_on_its_own() -> None:
    field = elastic_displacement((6, 7, 8), amplitude_voxels=1.0, scale_voxels=3.0, rng=generator(9))
    assert field.shape == (3, 6, 7, 8)
    assert not np.array_equal(field[0], field[1])
