"""One study in all 48 orders of its axes, straight and oblique: the same array for the network, and the way back."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from metseg.errors import GeometryError
from metseg.geometry import AxisTurn, axis_codes
from metseg.preprocess.pipeline import prepare, resamples, restore, run_steps
from metseg.preprocess.prepared_case import Prepared, stack_case
from metseg.preprocess.steps import reorient
from metseg.volume import Case, Volume

from . import phantom

TURNS = [AxisTurn(order, flipped) for order in permutations(range(3)) for flipped in product((False, True), repeat=3)]
GRID = phantom.grid((27, 34, 25), (5.2, 5.0, 5.5))
OBLIQUE = phantom.grid((27, 34, 25), (5.2, 5.0, 5.5), phantom.rotation(14, -8, 20, (3, -5, 40)))
MOVING_VOXELS = ({"name": "reorient"}, {"name": "crop_to_head", "axes": "all", "multiple": 4}, {"name": "zscore"})
RESAMPLING = ({"name": "reorient"}, {"name": "resample", "spacing_mm": [6, "keep", 4]}, {"name": "zscore"})


def study(turn: AxisTurn, *, tilted: bool = False, noise: float = 0.0) -> Case:
    """The phantom as a program that writes axes in this order would write it."""
    affine = OBLIQUE.affine if tilted else GRID.affine

    def turned(data: np.ndarray) -> Volume:
        return Volume(np.ascontiguousarray(turn(data)), turn.affine(affine, data.shape))

    images = {name: turned(phantom.sequence(GRID, name, noise=noise).data) for name in ("t1c", "t2f")}
    return Case("case", "patient", images, turned(phantom.lesion(GRID).astype(np.uint8)))


@pytest.mark.parametrize("tilted", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize("steps", [MOVING_VOXELS, RESAMPLING], ids=["moving", "resampling"])
def test_the_network_sees_the_same_and_answers_come_back(steps, tilted, make_recipe):
    recipe = make_recipe(*steps)
    wanted = prepare(study(AxisTurn(), tilted=tilted, noise=9), recipe)
    for turn in TURNS:
        case = study(turn, tilted=tilted, noise=9)
        found = prepare(case, recipe)
        assert np.array_equal(found.image, wanted.image), axis_codes(case.labels.affine)
        assert np.array_equal(found.labels, wanted.labels)
        assert found.affine == pytest.approx(wanted.affine)
        back = restore(found.labels, found.records)
        assert np.array_equal(back, turn(restore(wanted.labels, wanted.records)))
        if steps is MOVING_VOXELS:
            assert not resamples(found.records)
            assert np.array_equal(back, case.labels.data)
        else:
            assert resamples(found.records)
            assert 2 * (back & case.labels.data).sum() / (back.sum() + case.labels.data.sum()) > 0.9


def test_probabilities_come_back_bit_by_bit(make_recipe):
    turn = AxisTurn((2, 0, 1), (True, False, True))
    found = prepare(study(turn), make_recipe({"name": "reorient"}))
    chances = np.random.default_rng(0).random((2, *found.grid)).astype(np.float16)
    back = restore(chances, found.records)
    assert back.dtype == np.float16
    assert np.array_equal(back, turn(chances))
    assert back.flags.c_contiguous


def test_a_volume_without_affine_is_refused_and_pictures_stay(make_case):
    data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with pytest.raises(GeometryError, match="the volume has no orientation") as caught:
        reorient.apply(stack_case(make_case(data)), reorient.Options())
    assert caught.value.code == "input.no_affine"
    pictures = stack_case(Case("c", "p", {"t1n": Volume(data)}, slice_names=("a", "b", "c", "d")))
    result = reorient.apply(pictures, reorient.Options())
    assert np.array_equal(result.image[0], data)
    assert np.array_equal(restore(data[:, :, :2], result.records), data[:, :, :2])  # a few slices by themselves


def test_head_and_brain_turn_with_the_image():
    data = np.random.default_rng(0).random((1, 3, 4, 5)).astype(np.float32)
    marked = data[0] > 0.5
    affine = AxisTurn((1, 2, 0), (False, True, False)).affine(np.eye(4), (4, 5, 3))
    result = reorient.apply(Prepared(data, ("t1n",), affine=affine, head=marked, brain=~marked), reorient.Options())
    assert np.array_equal(result.head, result.image[0] > 0.5)
    assert np.array_equal(result.brain, ~result.head)
    assert axis_codes(result.affine) == "RAS"


def test_the_head_is_looked_for_behind_reorient(make_recipe):
    """Holes are filled slice by slice, so that the order of the axes would matter."""
    for turn in TURNS[::7]:
        found = prepare(study(turn, noise=9), make_recipe(*MOVING_VOXELS))
        head = turn.inverse()(restore(found.head.astype(np.uint8), found.records))
        assert (head != phantom.inside(GRID)).mean() < 0.03


def test_stripped_heads_are_found_in_any_orientation():
    from metseg.preprocess.head_mask import find_head

    for turn in TURNS:
        image = np.ascontiguousarray(turn(phantom.sequence(GRID, "t1c").data))
        head = find_head(image[None])
        assert head.erased
        assert np.array_equal(head.mask, turn(phantom.sequence(GRID, "t1c").data) != 0)


def test_run_steps_leaves_steps_for_cases_to_others(make_recipe):
    from metseg.preprocess import check_steps

    steps = check_steps(make_recipe({"name": "align"}, {"name": "reorient"}).preprocess)
    done = run_steps(stack_case(study(TURNS[5])), steps, where="case")
    assert [record.step for record in done.records] == ["reorient"]
