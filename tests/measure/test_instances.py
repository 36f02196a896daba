"""Components against scipy's, and by hand across slices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from metseg.errors import GeometryError
from metseg.measure import label_instances


def test_same_partition_as_scipy_with_26_neighbours() -> None:
    generator = np.random.default_rng(1)
    for density in (0.05, 0.15, 0.3):
        mask = generator.random((9, 11, 10)) < density
        instances, count = label_instances(mask)
        reference, expected = ndimage.label(mask, structure=np.ones((3, 3, 3)))
        assert count == expected
        pairs = np.unique(np.stack([instances[mask], reference[mask]]), axis=1)
        assert pairs.shape[1] == count  # one to one
        assert np.array_equal(instances > 0, mask)


def test_numbers_rise_with_the_first_voxel_in_array_order() -> None:
    mask = np.random.default_rng(2).random((8, 9, 10)) < 0.05
    instances, count = label_instances(np.asfortranarray(mask))
    first = [int(np.flatnonzero(instances.ravel() == number)[0]) for number in range(1, count + 1)]
    assert first == sorted(first)


def test_slices_by_themselves_or_together() -> None:
    stack = np.zeros((4, 4, 3), dtype=np.uint8)
    stack[1, 1, :] = 255  # one column through three slices
    stack[3, 3, 0] = 255
    assert label_instances(stack)[1] == 2
    instances, count = label_instances(stack, across_slices=False)
    assert count == 4
    assert [int(instances[1, 1, z]) for z in range(3)] == [1, 3, 4]


def test_diagonal_neighbours_belong_together_in_a_slice_too() -> None:
    stack = np.zeros((3, 3, 1), dtype=bool)
    stack[0, 0, 0] = stack[1, 1, 0] = True
    assert label_instances(stack, across_slices=False)[1] == 1


def test_empty_and_wrong_axes() -> None:
    instances, count = label_instances(np.zeros((2, 2, 2)))
    assert count == 0
    assert not instances.any()
    with pytest.raises(GeometryError, match="stacks"):
        label_instances(np.zeros((2, 2)))


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 5, 1), (1, 3, 3), (3, 3, 3), (9, 7, 1), (4, 4, 4)])
def test_as_many_lesions_as_fit(shape: tuple[int, int, int]) -> None:
    """Single voxels on every second place: here the library itself fails for odd sizes."""
    mask = np.zeros(shape, dtype=bool)
    mask[::2, ::2, ::2] = True
    assert label_instances(mask)[1] == mask.sum()
    assert label_instances(mask, across_slices=False)[1] == mask.sum()


def test_slicewise_numbering_has_no_gaps_and_agrees_with_plain_labelling() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        mask = ndimage.binary_dilation(rng.random((59, 16, 2)) < 0.05, structure=np.ones((3, 3, 1)))
        instances, count = label_instances(mask, across_slices=False)
        plain = [ndimage.label(mask[:, :, z], np.ones((3, 3)))[1] for z in range(2)]
        assert count == sum(plain)
        assert np.array_equal(np.unique(instances[instances > 0]), np.arange(1, count + 1))


def test_volume_numbering_has_no_gaps_and_agrees_with_scipy() -> None:
    rng = np.random.default_rng(6)
    for density in (0.01, 0.05, 0.2) * 20:
        mask = rng.random(tuple(rng.integers(3, 25, 3))) < density
        instances, count = label_instances(mask)
        assert count == ndimage.label(mask, np.ones((3, 3, 3)))[1]
        assert np.array_equal(np.unique(instances[instances > 0]), np.arange(1, count + 1))
