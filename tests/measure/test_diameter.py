"""Diameters against all pairs of all voxel corners, and by hand for tiny lesions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from metseg.measure import axial_axis, lesion_diameters_mm, longest_axial_diameter_mm, longest_diameter_mm

UNIT = np.eye(4)


def by_all_pairs(mask: np.ndarray, axes: np.ndarray) -> float:
    """Return the largest distance of any two corners of any two voxels."""
    voxels = np.argwhere(mask)
    steps = np.array(list(itertools.product((0, 1), repeat=mask.ndim)))
    corners = np.unique((voxels[:, None] + steps).reshape(-1, mask.ndim), axis=0)
    return float(pdist(corners @ axes.T).max())


def random_affine(generator: np.random.Generator) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(generator.normal(size=(3, 3)))[0] * generator.uniform(0.3, 5, 3)
    affine[:3, 3] = generator.normal(size=3) * 100
    return affine


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.01, 0.1, 0.6]))
def test_longest_diameter_is_that_of_all_pairs(seed: int, density: float) -> None:
    generator = np.random.default_rng(seed)
    mask = generator.random(generator.integers(1, 9, 3)) < density
    affine = random_affine(generator)
    if mask.any():
        assert longest_diameter_mm(mask, affine) == pytest.approx(by_all_pairs(mask, affine[:3, :3]), rel=1e-12)
    else:
        assert longest_diameter_mm(mask, affine) == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_longest_axial_diameter_is_that_of_all_pairs_within_slices(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = generator.random(generator.integers(1, 9, 3)) < 0.3
    affine = random_affine(generator)
    axis = axial_axis(affine)
    planes = [plane for plane in np.moveaxis(mask, axis, 0) if plane.any()]
    expected = max((by_all_pairs(plane, np.delete(affine[:3, :3], axis, axis=1)) for plane in planes), default=0.0)
    assert longest_axial_diameter_mm(mask, affine) == pytest.approx(expected, rel=1e-12)


def test_a_large_ball() -> None:
    grid = np.indices((25, 25, 25)) - 12
    ball = (grid**2).sum(axis=0) <= 11**2
    affine = np.diag([0.9, 1.1, 3.0, 1.0])
    shell = ball & ~(np.linalg.norm(grid, axis=0) < 9)
    assert longest_diameter_mm(ball, affine) == pytest.approx(by_all_pairs(shell, affine[:3, :3]))


@pytest.mark.parametrize(
    ("shape", "longest", "axial"),
    [((1, 1, 1), np.sqrt(3), np.sqrt(2)), ((3, 1, 1), np.sqrt(11), np.sqrt(10)), ((1, 1, 4), np.sqrt(18), np.sqrt(2))],
)
def test_bars_of_one_voxel_width(shape: tuple[int, int, int], longest: float, axial: float) -> None:
    mask = np.zeros((6, 6, 6), dtype=np.uint8)
    mask[tuple(slice(1, 1 + size) for size in shape)] = 1
    assert longest_diameter_mm(mask, UNIT) == pytest.approx(longest)
    assert longest_axial_diameter_mm(mask, UNIT) == pytest.approx(axial)


def test_axial_follows_the_affine_not_the_array() -> None:
    bar = np.zeros((4, 4, 6), dtype=bool)
    bar[1, 1, 0:5] = True
    sagittal_first = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    assert axial_axis(sagittal_first) == 0
    assert longest_axial_diameter_mm(bar, sagittal_first) == pytest.approx(np.sqrt(26))
    assert longest_axial_diameter_mm(bar, UNIT) == pytest.approx(np.sqrt(2))


def test_each_lesion_by_itself() -> None:
    instances = np.zeros((8, 8, 8), dtype=np.uint32)
    instances[0, 0, 0] = 2
    instances[4:6, 4:6, 4:6] = 1
    assert lesion_diameters_mm(instances, UNIT) == pytest.approx(
        np.array([[np.sqrt(12), np.sqrt(8)], [np.sqrt(3), np.sqrt(2)]])
    )
    assert lesion_diameters_mm(np.zeros((2, 2, 2), dtype=np.uint32), UNIT).shape == (0, 2)
