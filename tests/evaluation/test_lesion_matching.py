"""Lesions and matches by hand, and against a plain implementation that dilates each lesion in the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metseg.evaluation.lesions.lesion_matching import MatchRule, match_lesions, predicted_lesions, truth_lesions

EIGHTEEN = ndimage.generate_binary_structure(3, 2)
TWENTY_SIX = np.ones((3, 3, 3))


def row(*positions: int, length: int = 20) -> np.ndarray:
    """Return single voxels along one axis, away from the image's edge."""
    mask = np.zeros((length, 3, 3), dtype=bool)
    mask[list(positions), 1, 1] = True
    return mask


def plain_truth(mask: np.ndarray, times: int) -> list[np.ndarray]:
    grown = ndimage.binary_dilation(mask, EIGHTEEN, iterations=times) if times else mask
    merged, count = ndimage.label(grown, structure=TWENTY_SIX)
    return [mask & (merged == number) for number in range(1, count + 1)]


def plain_match(truth: np.ndarray, prediction: np.ndarray, times: int) -> tuple[list[frozenset[int]], set[int]]:
    """Return, for each truth lesion, the first voxels of the predicted pieces it touches; and of those untouched."""
    pieces, count = ndimage.label(prediction, structure=TWENTY_SIX)
    first = {number: int(np.flatnonzero(pieces == number)[0]) for number in range(1, count + 1)}
    touched = []
    for lesion in plain_truth(truth, times):
        reach = ndimage.binary_dilation(lesion, EIGHTEEN, iterations=times) if times else lesion
        touched.append(frozenset(first[number] for number in np.unique(pieces[reach]) if number))
    return touched, set(first.values()) - set().union(*touched)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), times=st.sampled_from([0, 1, 3]), density=st.sampled_from([0.003, 0.02]))
def test_equals_the_plain_implementation(seed: int, times: int, density: float) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(3, 16, 3))
    truth, prediction = (generator.random(shape) < density for _ in range(2))
    matching = match_lesions(truth, prediction, MatchRule(dilations=times))
    ids = np.zeros(shape, dtype=np.uint32)
    ids[matching.box] = matching.prediction.ids
    first = {n: int(np.flatnonzero(ids == n)[0]) for n in range(1, matching.prediction.count + 1)}
    touched, untouched = plain_match(truth, prediction, times)
    found = [frozenset(first[number] for number in numbers) for numbers in matching.touching]
    assert sorted(found, key=sorted) == sorted(touched, key=sorted)
    assert {first[number] for number in matching.false_positives} == untouched


@pytest.mark.parametrize(
    ("gap", "times", "lesions"), [(2, 0, 2), (2, 1, 1), (3, 1, 1), (4, 1, 2), (7, 3, 1), (8, 3, 2)]
)
def test_near_pieces_of_truth_are_one_lesion(gap: int, times: int, lesions: int) -> None:
    """Dilations of k voxels each touch when at most 2 k background voxels lie between: positions 2 k + 1 apart."""
    assert truth_lesions(row(2, 2 + gap), MatchRule(dilations=times)).count == lesions


def test_voxel_rule_needs_one_voxel_of_overlap() -> None:
    beside = match_lesions(row(5), row(6), MatchRule())
    on_top = match_lesions(row(5), row(5, 6), MatchRule())
    assert beside.touching == ((),)
    assert beside.false_positives == (1,)
    assert on_top.touching == ((1,),)
    assert on_top.false_positives == ()


def test_one_prediction_may_serve_two_lesions_and_two_may_serve_one() -> None:
    rule = MatchRule(dilations=1)
    strand = match_lesions(row(3, 12), row(*range(3, 13)), rule)
    assert strand.touching == ((1,), (1,))
    pair = match_lesions(row(4, 5, 6), row(3, 7), rule)
    assert pair.touching == ((1, 2),)


def test_predictions_are_merged_before_tiny_ones_are_deleted() -> None:
    """Three single voxels two apart are one lesion of 3 voxels after merging; alone each would be deleted."""
    scattered, lone = row(2, 4, 6), row(15)
    merging = MatchRule(dilations=1, merge_predictions=True, delete_predicted_up_to_voxels=2)
    lesions = predicted_lesions(scattered | lone, merging)
    assert lesions.count == 1
    assert np.array_equal(lesions.ids > 0, scattered)
    apart = MatchRule(dilations=1, delete_predicted_up_to_voxels=2)
    assert predicted_lesions(scattered | lone, apart).count == 0


def test_empty_masks() -> None:
    nothing = row()
    assert match_lesions(nothing, nothing, MatchRule()).touching == ()
    assert match_lesions(row(3), nothing, MatchRule()).touching == ((),)
    assert match_lesions(nothing, row(3), MatchRule()).false_positives == (1,)


def test_slices_by_themselves() -> None:
    column = np.ones((1, 1, 3), dtype=bool)
    assert len(match_lesions(column, column, MatchRule()).touching) == 1
    assert len(match_lesions(column, column, MatchRule(across_slices=False)).touching) == 3
