"""Dilation by 18 neighbours against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from metseg.measure import dilated


@pytest.mark.parametrize("times", [1, 2, 3])
def test_equals_scipy_at_every_edge(times: int) -> None:
    generator = np.random.default_rng(times)
    for _ in range(10):
        mask = generator.random([*generator.integers(1, 10, 2), generator.integers(1, 20)]) < 0.05
        expected = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations=times)
        assert np.array_equal(dilated(mask, times), expected)


def test_within_slices_equals_scipy_slice_by_slice() -> None:
    mask = np.random.default_rng(0).random((9, 8, 11)) < 0.05
    expected = np.stack(
        [ndimage.binary_dilation(mask[..., z], np.ones((3, 3)), iterations=2) for z in range(mask.shape[2])], axis=-1
    )
    assert np.array_equal(dilated(mask, 2, across_slices=False), expected)


def test_zero_times_changes_nothing_and_the_input_stays() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    before = mask.copy()
    assert np.array_equal(dilated(mask, 0), before)
    dilated(mask)
    assert np.array_equal(mask, before)
