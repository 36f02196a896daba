"""Grids, moves of the head and artefacts of motion against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import UsageError
from metseg.simulation import (
    CHALLENGES,
    CourseOptions,
    Examination,
    PhantomOptions,
    Stack,
    describe_examination,
    difficulty_level,
)
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.difficulty import Difficulty
from metseg.simulation.scanner.acquisition import missing_sequence, plan_scans, stack_grid
from metseg.simulation.scanner.motion import draw_shifts, measured_while_moving
from metseg.simulation.scanner.rigid_transforms import draw_rigid, rigid_matrix

GRID = Grid((49, 58, 47), 4.0, (-96.0, -132.0, -70.0))


def examination(index: int) -> Examination:
    return describe_examination(5, index, 0, phantom=PhantomOptions(), course=CourseOptions())


def test_a_rigid_move_by_hand() -> None:
    # A quarter turn about z through (10, 0, 0): what lies 1 beyond it along x then lies 1 beyond it along y.
    matrix = rigid_matrix((0, 0, 90), (0, 0, 5), about_mm=(10, 0, 0))
    assert matrix @ (11, 0, 0, 1) == pytest.approx((10, 1, 5, 1))
    assert matrix @ (10, 0, 7, 1) == pytest.approx((10, 0, 12, 1))


def test_drawn_moves_are_rigid_and_bounded() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        matrix = draw_rigid(rng, shift_mm=2.0, tilt_deg=3.0)
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
        # At most two deviations along each axis: the pivot moves by no more than 4 mm times the root of 3.
        pivot = np.array((0.0, -18.0, 5.0, 1.0))
        assert np.linalg.norm(matrix @ pivot - pivot) <= 4 * np.sqrt(3) + 1e-9


@pytest.mark.parametrize(
    ("stack", "shape", "spacing"),
    [
        (Stack(), (49, 58, 47), (4.0, 4.0, 4.0)),
        # 196 x 232 x 188 mm in voxels of 3.6 x 3.6 x 5 mm: 54.4, 64.4, 37.6.
        (Stack(slice_mm=5), (55, 65, 38), (3.6, 3.6, 5.0)),
        # Columns along y, rows along z, slices along x: 232 / 3.6, 188 / 3.6, 196 / 5.
        (Stack(plane="sagittal", slice_mm=5), (65, 53, 40), (3.6, 3.6, 5.0)),
        (Stack(plane="coronal", slice_mm=5), (55, 53, 47), (3.6, 3.6, 5.0)),
    ],
)
def test_grids_cover_the_head(stack: Stack, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    found, affine = stack_grid(GRID, stack, in_plane=0.9, tilt_deg=(0, 0, 0))
    assert found == shape
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx(spacing)
    centre = affine @ (*((np.array(found) - 1) / 2), 1)
    assert centre[:3] == pytest.approx((-96 + 48 * 2, -132 + 57 * 2, -70 + 46 * 2))


def test_a_tilted_stack_turns_about_the_centre() -> None:
    shape, affine = stack_grid(GRID, Stack(slice_mm=5), in_plane=0.9, tilt_deg=(10, 0, 0))
    assert affine[:3, 2] / 5 == pytest.approx((0, -np.sin(np.radians(10)), np.cos(np.radians(10))))
    assert (affine @ (*((np.array(shape) - 1) / 2), 1))[:3] == pytest.approx((0, -18, 22))


def test_the_reference_is_at_rest_and_never_missing() -> None:
    always = Difficulty(offset_mm=3, offset_deg=3, missing_share=1)
    for index in range(6):
        scans = plan_scans(examination(index), GRID, always)
        assert len(scans) == 3
        np.testing.assert_array_equal(scans["t1c"].to_reference_mm, np.eye(4))
        assert missing_sequence(examination(index), always) not in (None, "t1c", *scans)
        for name in set(scans) - {"t1c"}:
            assert not np.allclose(scans[name].to_reference_mm, np.eye(4), atol=0.05)


def test_a_share_of_the_examinations_lacks_a_sequence() -> None:
    lacking = [missing_sequence(examination(index), Difficulty(missing_share=0.3)) for index in range(60)]
    share = sum(name is not None for name in lacking) / 60
    assert 0.12 < share < 0.48  # 0.3 give or take three standard errors of 0.06
    assert {name for name in lacking if name} == {"t1n", "t2w", "t2f"}


def test_levels_have_names_and_numbers() -> None:
    assert [difficulty_level(str(number)) for number in range(len(CHALLENGES))] == list(CHALLENGES.values())
    with pytest.raises(UsageError, match="Did you mean 'clinical'"):
        difficulty_level("clinicl")


def test_levels_grow() -> None:
    levels = [Difficulty(), *(level for level in CHALLENGES.values() if level is not None)]
    for name in (
        "offset_mm",
        "offset_deg",
        "motion_share",
        "motion_mm",
        "missing_share",
        "noise_factor",
        "bias_factor",
    ):
        values = [getattr(level, name) for level in levels]
        assert values == sorted(values)


def test_a_head_that_lies_elsewhere_all_the_time_is_shifted() -> None:
    image = np.zeros((8, 6, 2), dtype=np.float32)
    image[2, 3, 1] = 5
    moved = measured_while_moving(image, np.tile([3.0, -2.0], (6, 1)))
    np.testing.assert_allclose(moved, np.roll(image, (3, -2), axis=(0, 1)), atol=1e-5)


def test_every_other_line_elsewhere_makes_a_ghost_half_an_image_away() -> None:
    # The row y = 1 holds 2 + cos(2 pi x / 8). Half a period along x on odd lines: the constant stays, the cosine
    # gets the sign (-1)^ky, which is a shift by half the image along y.
    wave = np.cos(2 * np.pi * np.arange(8) / 8)
    image = np.zeros((8, 8, 1), dtype=np.float32)
    image[:, 1, 0] = 2 + wave
    shifts = np.zeros((8, 2))
    shifts[1::2, 0] = 4
    expected = np.zeros((8, 8))
    expected[:, 1], expected[:, 5] = 2, np.abs(wave)
    np.testing.assert_allclose(measured_while_moving(image, shifts)[..., 0], expected, atol=1e-5)


def test_the_middle_of_k_space_is_measured_at_rest() -> None:
    rng = np.random.default_rng(1)
    for lines in (60, 61):
        shifts = draw_shifts(lines, 2.0, (0.5, 1.0), rng)
        assert shifts.shape == (lines, 2)
        assert not shifts[lines // 2].any()
        assert np.abs(shifts).max() > 0.2
    assert not draw_shifts(20, 0.0, (1.0, 1.0), rng).any()
