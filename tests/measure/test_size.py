"""Volumes and centres of hand-made lesions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from metseg.errors import GeometryError
from metseg.measure import (
    lesion_centres,
    lesion_volumes_ml,
    lesion_volumes_mm3,
    lesion_voxels,
    voxel_volume_mm3,
)

AFFINE = np.array([[0.0, 0.0, 3.0, 10.0], [-0.5, 0.0, 0.0, 20.0], [0.0, 2.0, 0.0, 30.0], [0.0, 0.0, 0.0, 1.0]])


def two_lesions() -> np.ndarray:
    instances = np.zeros((4, 5, 6), dtype=np.uint32)
    instances[0, 0, 0:2] = 1
    instances[3, 2:5, 4] = 2
    return instances


def test_voxels_and_volumes() -> None:
    assert lesion_voxels(two_lesions()).tolist() == [2, 3]
    assert lesion_volumes_mm3(two_lesions(), AFFINE).tolist() == pytest.approx([6.0, 9.0])
    assert lesion_volumes_ml(two_lesions(), AFFINE).tolist() == pytest.approx([0.006, 0.009])


def test_shear_keeps_the_volume() -> None:
    sheared = np.diag([1.0, 2.0, 3.0, 1.0])
    sheared[0, 1] = 5.0
    assert voxel_volume_mm3(sheared) == pytest.approx(6.0)


def test_centres_in_voxels_and_in_space() -> None:
    assert lesion_centres(two_lesions()).tolist() == [[0.0, 0.0, 0.5], [3.0, 3.0, 4.0]]
    assert lesion_centres(two_lesions(), AFFINE).tolist() == [[11.5, 20.0, 30.0], [22.0, 18.5, 36.0]]


def test_centres_of_random_lesions_are_scipys() -> None:
    instances, count = ndimage.label(np.random.default_rng(0).random((9, 8, 7)) > 0.85)
    expected = np.array(ndimage.center_of_mass(instances > 0, instances, range(1, count + 1)))
    assert np.allclose(lesion_centres(instances.astype(np.uint32)), expected, atol=1e-12)


def test_nothing_measured_in_an_empty_image() -> None:
    empty = np.zeros((2, 2, 2), dtype=np.uint32)
    assert lesion_voxels(empty).shape == (0,)
    assert lesion_volumes_mm3(empty, AFFINE).shape == (0,)
    assert lesion_centres(empty).shape == (0, 3)


def test_singular_affine_is_refused() -> None:
    with pytest.raises(GeometryError, match="singular"):
        lesion_volumes_mm3(two_lesions(), np.zeros((4, 4)))
