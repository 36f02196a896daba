"""Slice-wise Dice by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.evaluation import MaskPair, ScoringConfig, evaluate_masks
from metseg.evaluation.metrics.slice_metrics import slice_scores
from metseg.evaluation.metrics.surface_distance import asd_mm, surface_dice, surface_distances

COUNTS = ("n_tp", "n_fp", "n_fn")


def test_each_average_by_hand() -> None:
    truth, prediction = np.zeros((2, 4, 1, 4), dtype=bool)
    truth[:2, 0, 0] = True  # slice 0: Dice 2 * 1 / (2 + 2) = 1/2
    prediction[1:3, 0, 0] = True
    truth[0, 0, 1] = True  # slice 1: missed, 0
    prediction[0, 0, 2] = True  # slice 2: false, 0; not a positive slice
    found = slice_scores(truth, prediction, n_slices=4)  # slice 3: both empty, 1
    assert found.dice_positive_slices == pytest.approx((0.5 + 0) / 2)
    assert found.dice_all_slices == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    assert (found.n_positive_slices, found.n_slices) == (2, 4)


def test_slices_cut_off_count_as_empty_in_both() -> None:
    truth = np.ones((2, 2, 1), dtype=bool)
    assert slice_scores(truth, truth, n_slices=10).dice_all_slices == 1.0
    assert slice_scores(truth, ~truth, n_slices=10).dice_all_slices == pytest.approx(0.9)


def test_an_empty_prediction_scores_the_share_of_empty_slices() -> None:
    """The example of the protocol: 65 % empty slices, nothing predicted."""
    truth = np.zeros((8, 8, 20), dtype=np.uint8)
    truth[2:5, 2:5, 13:] = 1
    scores = evaluate_masks(MaskPair(truth, np.zeros_like(truth), stack_of_slices=True))["lesion"]
    assert scores.slices is not None
    assert scores.slices.dice_all_slices == pytest.approx(0.65)
    assert scores.slices.dice_positive_slices == 0
    assert scores["dice"] == 0


def test_no_positive_slice_is_not_a_number() -> None:
    nothing = np.zeros((3, 3, 5), dtype=bool)
    found = slice_scores(nothing, nothing, n_slices=5)
    assert found.dice_positive_slices is None
    assert found.dice_all_slices == 1.0


def test_no_lesion_goes_on_from_picture_to_picture() -> None:
    """Nobody knows how far apart pictures are: a column through three of them is three lesions, in a volume one."""
    truth, prediction = np.zeros((2, 8, 8, 4), dtype=np.uint8)
    truth[2:4, 2:4, :3] = 1
    prediction[2:4, 2:4, 1] = 1  # found on one picture
    prediction[6, 6, 2:] = 1  # false on two
    counts = [
        [evaluate_masks(MaskPair(truth, prediction, stack_of_slices=stack))["lesion"][name] for name in COUNTS]
        for stack in (True, False)
    ]
    assert counts == [[1, 2, 2], [1, 1, 0]]


def test_where_protocols_dilate_a_lesion_reaches_no_other_picture() -> None:
    truth, prediction = np.zeros((2, 9, 9, 3), dtype=np.uint8)
    truth[2:6, 2:6, 1] = prediction[2:6, 2:6, 2] = 3
    scores = evaluate_masks(
        MaskPair(truth, prediction, affine=np.eye(4), stack_of_slices=True), ScoringConfig("brats-met-2023")
    )["ET"]
    assert [scores[name] for name in COUNTS] == [0, 1, 1]


def test_surfaces_of_two_pictures_are_not_shared_where_their_lesions_touch() -> None:
    """With a spacing, a stack has the surface of the whole mask: between two pictures of a lesion there is none."""
    truth, prediction = np.zeros((2, 9, 9, 4), dtype=np.uint8)
    truth[2:6, 2:6, 1:3] = prediction[3:7, 2:6, 1:3] = 1
    found = evaluate_masks(MaskPair(truth, prediction, affine=np.eye(4), stack_of_slices=True))["lesion"]
    expected = surface_distances(truth, prediction, (1.0, 1.0, 1.0))
    assert found["asd_mm"] == pytest.approx(asd_mm(expected, penalty=0))
    assert found["nsd_0.5"] == pytest.approx(surface_dice(expected, 0.5))
