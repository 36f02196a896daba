"""Order, affine and gaps of a stack, with positions computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import GeometryError
from metseg.io.dicom.slice_ordering import Arrangement, arrange

AXIAL = np.array([1.0, 0, 0, 0, 1, 0])


def axial(heights: list[float], **options: object) -> Arrangement:
    positions = np.array([[10.0, 20.0, height] for height in heights])
    return arrange(positions, AXIAL, spacing_mm=(0.5, 0.4), single_step_mm=options.pop("single", None))  # type: ignore[arg-type]


def test_axial_affine_by_hand() -> None:
    found = axial([4.0, 2.0, 6.0])
    assert found.groups == ((1,), (0,), (2,))
    # x runs with the columns (0.4 mm) to the patient's left, y with the rows (0.5 mm) to the back; RAS turns both.
    np.testing.assert_allclose(
        found.affine, [[-0.4, 0, 0, -10], [0, -0.5, 0, -20], [0, 0, 2, 2], [0, 0, 0, 1]], atol=1e-12
    )
    assert found.is_even
    assert found.missing == 0


def test_sagittal_affine_by_hand() -> None:
    # Rows run to the back, columns to the feet: the normal is (y x -z) = -x, to the patient's right.
    orientation = np.array([0.0, 1, 0, 0, 0, -1])
    positions = np.array([[5.0, -100, 90], [7.0, -100, 90]])
    found = arrange(positions, orientation, spacing_mm=(1.5, 1.25), single_step_mm=None)
    assert found.groups == ((1,), (0,))
    np.testing.assert_allclose(
        found.affine, [[0, 0, 2, -7], [-1.25, 0, 0, 100], [0, -1.5, 0, 90], [0, 0, 0, 1]], atol=1e-12
    )


def test_every_voxel_of_an_oblique_stack_is_where_dicom_puts_it() -> None:
    """PS3.3 equation C.7.6.2.1-1, voxel by voxel."""
    rng = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    row, column = rotation[:, 0], rotation[:, 1]
    normal = np.cross(row, column)
    origin = np.array([-80.0, -120.0, 33.0])
    positions = np.array([origin + 1.7 * number * normal for number in (2, 0, 3, 1)])
    found = arrange(positions, np.r_[row, column], spacing_mm=(0.9, 0.7), single_step_mm=None)
    assert found.groups == ((1,), (3,), (0,), (2,))
    for x, y, z in [(0, 0, 0), (4, 0, 0), (0, 3, 0), (2, 5, 3)]:
        lps = positions[found.groups[z][0]] + row * 0.7 * x + column * 0.9 * y
        ras = found.affine @ [x, y, z, 1]
        np.testing.assert_allclose(ras[:3], lps * [-1, -1, 1], atol=1e-9)


def test_a_missing_slice_leaves_a_slot() -> None:
    found = axial([0.0, 3.0, 9.0, 12.0])
    assert found.is_even
    assert found.missing == 1
    assert found.slots == (0.0, 1.0, 3.0, 4.0)
    assert found.step_mm == pytest.approx(3.0)


def test_a_missing_second_slice_of_three() -> None:
    assert axial([0.0, 1.0, 3.0]).slots == (0.0, 1.0, 3.0)


def test_rounded_positions_are_even() -> None:
    found = axial([0.0, 3.29, 6.59, 9.9, 13.2])
    assert found.is_even
    assert found.missing == 0
    assert found.step_mm == pytest.approx(3.3)


def test_uneven_slices() -> None:
    found = axial([0.0, 3.0, 6.9, 9.0])
    assert not found.is_even
    assert found.distances_mm == pytest.approx((2.1, 3.9))


def test_duplicates_share_a_place() -> None:
    assert axial([0.0, 3.0, 3.001, 6.0, 0.0]).groups == ((0, 4), (1, 2), (3,))


def test_one_slice_needs_a_thickness() -> None:
    assert axial([7.0], single=5.0).affine[2, 2] == 5.0
    with pytest.raises(GeometryError, match="unknown thickness") as caught:
        axial([7.0])
    assert caught.value.code == "input.no_geometry"


def test_stacks_side_by_side_are_refused() -> None:
    positions = np.array([[0.0, 0, 0], [0, 0, 3], [40, 0, 6], [40, 0, 9]])
    with pytest.raises(GeometryError, match="shifted relative") as caught:
        arrange(positions, AXIAL, spacing_mm=(1.0, 1.0), single_step_mm=None)
    assert caught.value.code == "input.geometry"


def test_a_leaning_stack_is_refused() -> None:
    positions = np.array([[0.1 * height, 0, height] for height in (0.0, 3.0, 6.0)])
    with pytest.raises(GeometryError, match="shifted relative"):
        arrange(positions, AXIAL, spacing_mm=(1.0, 1.0), single_step_mm=None)


@pytest.mark.parametrize("orientation", [[0.0] * 6, [1.0, 0, 0, 1, 0, 0], [2.0, 0, 0, 0, 1, 0]])
def test_vectors_that_are_no_directions(orientation: list[float]) -> None:
    with pytest.raises(GeometryError) as caught:
        arrange(np.zeros((1, 3)), np.array(orientation), spacing_mm=(1.0, 1.0), single_step_mm=1.0)
    assert caught.value.code == "input.no_geometry"


def test_pixels_of_no_size() -> None:
    with pytest.raises(GeometryError):
        arrange(np.zeros((1, 3)), AXIAL, spacing_mm=(0.0, 1.0), single_step_mm=1.0)
