"""Turns, steps and comparison of grids, against plain loops over voxels and nibabel."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.geometry import (
    AxisTurn,
    Grid,
    axis_codes,
    centred_steps,
    grid_difference,
    is_sheared,
    same_grid,
    shear_degrees,
    spacing_mm,
    stepped_affine,
    turn_between,
    turn_to_ras,
    voxel_map,
)

TURNS = [AxisTurn(order, flipped) for order in permutations(range(3)) for flipped in product((False, True), repeat=3)]
SHAPE = (3, 4, 5)


def rotation(degrees: float, axis: int) -> np.ndarray:
    a, (i, j) = np.radians(degrees), [other for other in range(3) if other != axis]
    turned = np.eye(4)
    turned[i, i] = turned[j, j] = np.cos(a)
    turned[i, j], turned[j, i] = -np.sin(a), np.sin(a)
    return turned


OBLIQUE = rotation(17, 0) @ rotation(-9, 2) @ np.diag([0.9, 0.8, 5.5, 1.0])
OBLIQUE[:3, 3] = [-80, -100, 20]


def positions(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(X, Y, Z, 3): where every voxel lies, one after the other."""
    out = np.empty((*shape, 3))
    for index in np.ndindex(*shape):
        out[index] = (affine @ [*index, 1])[:3]
    return out


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_every_voxel_stays_where_it_is(turn):
    before = positions(OBLIQUE, SHAPE)
    turned = np.stack([turn(before[..., k]) for k in range(3)], axis=-1)
    affine = turn.affine(OBLIQUE, SHAPE)
    assert turned.shape[:3] == turn.shape(SHAPE)
    assert turned == pytest.approx(positions(affine, turn.shape(SHAPE)))
    assert np.array_equal(turn.inverse()(turn(before[..., 0])), before[..., 0])
    assert turn.inverse().affine(affine, turn.shape(SHAPE)) == pytest.approx(OBLIQUE)
    assert turn.then(turn.inverse()) == AxisTurn()


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_to_ras_is_nibabels_closest_canonical(turn):
    data = np.arange(60.0).reshape(SHAPE)
    affine = turn.affine(OBLIQUE, SHAPE)
    wanted = nib.as_closest_canonical(nib.Nifti1Image(turn(data), affine))
    to_ras = turn_to_ras(affine)
    assert np.array_equal(to_ras(turn(data)), wanted.get_fdata())
    assert to_ras.affine(affine, turn.shape(SHAPE)) == pytest.approx(wanted.affine)
    assert axis_codes(affine) == "".join(nib.aff2axcodes(affine))
    assert np.array_equal(turn_between(wanted.affine, affine)(wanted.get_fdata()), turn(data))


def test_48_turns_are_48():
    assert len({axis_codes(turn.affine(OBLIQUE, SHAPE)) for turn in TURNS}) == 48
    data = np.arange(60).reshape(SHAPE)
    assert len({(turn.shape(SHAPE), turn(data).tobytes()) for turn in TURNS}) == 48


def test_leading_axes_stay():
    turn = AxisTurn((2, 0, 1), (True, False, True))
    data = np.random.default_rng(0).random((2, *SHAPE))
    assert np.array_equal(turn(data)[1], turn(data[1]))


@given(
    step=st.tuples(*[st.floats(0.2, 4)] * 3),
    start=st.tuples(*[st.floats(-9, 9)] * 3),
    voxel=st.tuples(*[st.integers(-5, 30)] * 3),
)
@settings(max_examples=50, deadline=None)
def test_a_stepped_grid(step, start, voxel):
    old = np.asarray(start) + np.asarray(step) * voxel
    assert stepped_affine(OBLIQUE, step=step, start=start) @ [*voxel, 1] == pytest.approx(OBLIQUE @ [*old, 1])


@given(size=st.integers(1, 300), step=st.floats(0.1, 7))
def test_new_voxels_cover_the_old_ones_and_share_their_centre(size, step):
    count, start = centred_steps(size, step)
    first, last = start - step / 2, start + step * (count - 1) + step / 2
    assert first <= -0.5 + 1e-3 * step + 1e-9
    assert last >= size - 0.5 - 1e-3 * step - 1e-9
    assert (first + last) / 2 == pytest.approx((size - 1) / 2, abs=1e-6)
    assert count == 1 or (count - 1) * step < size, "no voxel too many"


def test_voxel_map_goes_through_space():
    other = rotation(30, 1) @ np.diag([2.0, 2, 2, 1])
    moved = rotation(5, 0)
    moved[:3, 3] = [1, 2, 3]
    point = other @ [3, 4, 5, 1]
    assert OBLIQUE @ (voxel_map(OBLIQUE, other) @ [3, 4, 5, 1]) == pytest.approx(point)
    assert OBLIQUE @ (voxel_map(OBLIQUE, other, moved) @ [3, 4, 5, 1]) == pytest.approx(moved @ point)


def test_spacing_and_shear():
    assert spacing_mm(OBLIQUE) == pytest.approx((0.9, 0.8, 5.5))
    assert shear_degrees(OBLIQUE) == pytest.approx(0, abs=1e-6)
    tilted = OBLIQUE.copy()
    tilted[:3, 2] = 5.5 * (
        np.cos(np.radians(12)) * OBLIQUE[:3, 2] / 5.5 + np.sin(np.radians(12)) * OBLIQUE[:3, 1] / 0.8
    )
    assert shear_degrees(tilted) == pytest.approx(12)
    assert is_sheared(tilted)
    assert not is_sheared(OBLIQUE.astype(np.float32).astype(float))


def test_rounding_in_a_header_is_no_difference():
    assert same_grid(Grid((240, 240, 155), OBLIQUE), Grid((240, 240, 155), OBLIQUE.astype(np.float32).astype(float)))


@pytest.mark.parametrize("mm", [0.04, 0.06])
def test_the_tolerance_is_that_of_the_furthest_corner(mm):
    turned = OBLIQUE.copy()
    turned[0, 0] += mm / 99  # the last of 100 voxels is off by mm, the first not at all
    assert same_grid(Grid((100, 4, 5), OBLIQUE), Grid((100, 4, 5), turned)) == (mm < 0.05)
    assert same_grid(Grid((100, 4, 5), OBLIQUE), Grid((100, 4, 5), turned), tolerance_mm=0.1)


def test_differences_in_words():
    lps, ras = np.diag([-1.0, -1, 1, 1]), np.eye(4)
    assert grid_difference(Grid((2, 2, 2), None), Grid((2, 2, 2), None)) is None
    assert grid_difference(Grid((2, 2, 2), None), Grid((2, 3, 2), None)) == "shapes (2, 2, 2) and (2, 3, 2)"
    assert "only one of them" in grid_difference(Grid((2, 2, 2), ras), Grid((2, 2, 2), None))
    words = grid_difference(Grid((2, 2, 2), lps), Grid((2, 2, 3), 2 * ras))
    assert words.startswith("shapes (2, 2, 2) and (2, 2, 3), axes LPS and RAS, spacings 1.000x1.000x1.000 and 2.000x")
    shifted = ras.copy()
    shifted[2, 3] = 0.3
    assert grid_difference(Grid((2, 2, 2), ras), Grid((2, 2, 2), shifted)) == "voxels up to 0.3 mm apart"
