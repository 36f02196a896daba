"""Shares and labels on other grids, against boxes whose shares can be counted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from metseg.simulation.anatomy.voxelization import voxelise
from metseg.simulation.lesions.lesion_shapes import ET, NETC, SNFH, LesionMaps
from metseg.simulation.scanner.grid_resampling import Placement

SHAPE = (16, 16, 16)
THICK = Placement((16, 16, 4), np.diag([1.0, 1.0, 4.0]), np.array([0.0, 0.0, 1.5]), steps=4)
SAME = Placement(SHAPE, np.eye(3), np.zeros(3))


def box(*sides: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(*side) for side in sides)


def maps(number: int, core: tuple[slice, ...], *, dead: tuple[slice, ...] | None = None) -> LesionMaps:
    found = LesionMaps.empty(SHAPE)
    found.core[core], found.labels[core], found.instances[core] = 1, ET, number
    if dead is not None:
        found.labels[dead], found.necrosis[dead] = NETC, 1
    return found


def test_a_thick_slice_is_the_mean_of_its_layers() -> None:
    image = np.zeros(SHAPE, dtype=np.float32)
    image[:, :, 5] = 8
    image += 3
    thick = THICK.image(image)
    assert thick[7, 7].tolist() == pytest.approx([3, 3 + 8 / 4, 3, 3])


def test_the_same_grid_gives_the_same_image() -> None:
    image = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    np.testing.assert_allclose(SAME.image(image), image, atol=1e-5)
    np.testing.assert_allclose(SAME.share(image), image, atol=1e-6)


def test_a_ramp_is_kept_by_a_turn() -> None:
    # Turned by 90 degrees about z: new voxel (i, j, k) lies at old (15 - j, i, k).
    turn = Placement(SHAPE, np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([15.0, 0, 0]))
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], SHAPE)
    np.testing.assert_allclose(
        turn.share(ramp)[:, 1:, :], np.broadcast_to(15 - np.arange(1, 16)[None, :, None], (16, 15, 16)), atol=1e-4
    )
    assert turn.old_voxels == pytest.approx(1)


def test_labels_on_the_same_grid_are_the_same() -> None:
    one = maps(3, box((4, 9), (5, 9), (2, 8)), dead=box((5, 8), (6, 8), (3, 6)))
    labels, instances = voxelise(one, SAME)
    np.testing.assert_array_equal(labels, one.labels)
    np.testing.assert_array_equal(instances, one.instances)


def test_thick_slices_take_the_fullest_voxels_and_keep_the_volume() -> None:
    # Height 1..8 in slices of four: shares 3/4, 1, 1/4. 8 * 8 * 8 / 4 = 128 voxels: the first two slices.
    labels, instances = voxelise(maps(2, box((4, 12), (4, 12), (1, 9))), THICK)
    expected = np.zeros((16, 16, 4), dtype=np.uint8)
    expected[4:12, 4:12, :2] = 1
    np.testing.assert_array_equal(labels, ET * expected)
    np.testing.assert_array_equal(instances, 2 * expected)


def test_no_lesion_is_too_small_for_a_thick_slice() -> None:
    labels, _ = voxelise(maps(1, box((7, 8), (7, 8), (6, 7))), THICK)
    assert np.argwhere(labels).tolist() == [[7, 7, 1]]


def test_necrosis_is_where_it_is_most_of_the_tumour() -> None:
    # The second slice is 4..7: two of its four layers of tumour are dead; the first holds one of three.
    one = maps(1, box((4, 12), (4, 12), (1, 9)), dead=box((6, 10), (6, 10), (3, 6)))
    labels, _ = voxelise(one, THICK)
    assert (labels[6:10, 6:10, 1] == NETC).all()
    assert (labels == NETC).sum() == 16


def test_oedema_is_where_half_of_a_voxel_is_ill() -> None:
    one = maps(1, box((4, 8), (4, 8), (4, 8)))
    swollen = one.labels.copy()
    swollen[3:9, 3:9, 2:10] = SNFH
    swollen[3:9, 3:9, :2] = 0
    one.labels[...] = np.where(one.core >= 0.5, ET, swollen)
    one.instances[one.labels > 0] = 1
    labels, instances = voxelise(one, THICK)
    # Layers 2..9: half of the first slice, all of the second, half of the third.
    expected: npt.NDArray[np.uint8] = np.zeros((16, 16, 4), dtype=np.uint8)
    expected[3:9, 3:9, :3] = SNFH
    expected[4:8, 4:8, 1] = ET
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(instances, expected > 0)


def test_a_lesion_outside_the_image_is_left_out() -> None:
    low = Placement((16, 16, 4), np.eye(3), np.array([0.0, 0, 0]))
    labels, instances = voxelise(maps(1, box((4, 8), (4, 8), (10, 13))), low)
    assert not labels.any()
    assert not instances.any()
