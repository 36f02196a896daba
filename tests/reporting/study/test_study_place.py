"""On which side a lesion lies: by the middle of the head, and only where that can be known."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from metseg.geometry import AxisTurn
from metseg.inference.lesion_sides import oblique_degrees, sides
from metseg.reporting.study.lesion_location import coordinates, is_origin_in_head, letters_hold

RIGHT, LEFT, MIDDLE = (9.5, 21.0, 17.0), (28.0, 30.0, 20.0), (20.0, 25.0, 17.0)


def test_sides_by_hand(study: Any) -> None:
    assert sides(study.image, study.affine, [RIGHT, LEFT, MIDDLE]) == ("right", "left", "near midline")


@pytest.mark.parametrize("order", itertools.permutations(range(3)), ids=str)
def test_the_axes_of_the_file_do_not_matter(study: Any, order: tuple[int, int, int]) -> None:
    for flips in itertools.product([False, True], repeat=3):
        turn = AxisTurn(order, flips)
        affine = turn.affine(study.affine, study.image.shape)
        centres = []
        for centre in (RIGHT, LEFT, MIDDLE):
            placed = [
                study.image.shape[axis] - 1 - centre[axis] if flip else centre[axis] for axis, flip in turn.pairs()
            ]
            centres.append((placed[0], placed[1], placed[2]))
        assert sides(turn(study.image).copy(), affine, centres) == ("right", "left", "near midline")


def test_the_middle_is_that_of_the_head_and_not_of_the_image(study: Any) -> None:
    """With 20 voxels of air more on one side, the lesion in the middle of the head stays there."""
    padded = np.pad(study.image, ((20, 0), (0, 0), (0, 0)))
    moved = [(centre[0] + 20, *centre[1:]) for centre in (RIGHT, LEFT, MIDDLE)]
    assert sides(padded, study.affine, moved) == ("right", "left", "near midline")


def test_a_head_that_the_image_cuts_off_on_one_side_has_no_middle(study: Any) -> None:
    cut = study.image[10:]
    assert sides(cut, study.affine, [(LEFT[0] - 10, *LEFT[1:])]) == (None,)


def test_an_image_of_nothing_has_no_sides(study: Any) -> None:
    assert sides(np.zeros_like(study.image), study.affine, [RIGHT, LEFT]) == (None, None)
    assert sides(study.image, study.affine, []) == ()


def test_axes_far_from_those_of_the_body_tell_no_side(study: Any) -> None:
    angle = np.radians(35)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert oblique_degrees(turned @ study.affine) == pytest.approx(35)
    assert sides(study.image, turned @ study.affine, [RIGHT]) == (None,)


@pytest.mark.parametrize(
    ("point", "text"),
    [
        ((42.0, -16.0, 26.0), "R 42, P 16, S 26"),
        ((-0.4, 0.0, -7.6), "R 0, A 0, I 8"),
        ((-1.2, 3.0, 0), "L 1, A 3, S 0"),
    ],
)
def test_coordinates(point: tuple[float, float, float], text: str) -> None:
    assert coordinates(point) == text


#: BraTS: the origin is the first voxel, x runs to the left and y to the back.
BRATS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
#: MNI152, 1 mm: x from -90 to 91, y from -126 to 91, z from -72 to 109.
MNI = np.array([[1.0, 0, 0, -90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("affine", "shape", "holds"),
    [
        (MNI, (182, 218, 182), True),
        (BRATS, (240, 240, 155), False),
        (np.eye(4), (240, 240, 155), False),
        (np.diag([-1.0, -1.0, 1.0, 1.0]), (240, 240, 155), False),
    ],
)
def test_letters_need_an_origin_in_the_head(affine: np.ndarray, shape: tuple[int, int, int], holds: bool) -> None:
    assert is_origin_in_head(affine, shape) is holds


def test_a_side_is_never_contradicted_by_a_letter() -> None:
    inside = ((10.0, 0.0, 0.0), "right"), ((-40.0, 5.0, 9.0), "left"), ((3.0, 0.0, 0.0), "near midline")
    assert letters_hold(MNI, (182, 218, 182), inside)
    assert not letters_hold(MNI, (182, 218, 182), [*inside, ((12.0, 0.0, 0.0), "left")])
    assert not letters_hold(MNI, (182, 218, 182), [((-12.0, 0.0, 0.0), "right")])


def test_without_letters_the_numbers_are_those_of_the_file() -> None:
    assert coordinates((92.0, 141.2, -7.0), lettered=False) == "x 92, y 141, z -7"
