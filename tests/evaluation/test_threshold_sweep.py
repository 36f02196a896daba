"""A sweep over thresholds and sizes, against scoring every thresholded and cleaned mask by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metseg.evaluation import PROTOCOLS, MaskPair, evaluate_case, evaluate_masks
from metseg.evaluation.case_scoring import sweep_rule
from metseg.evaluation.lesions.lesion_matching import MatchRule
from metseg.evaluation.lesions.threshold_sweep import Grid, Sweep, SweepRule, confidences_at, sweep

TWENTY_SIX = np.ones((3, 3, 3))
EIGHTEEN = ndimage.generate_binary_structure(3, 2)
SPACING = (1.0, 1.0, 2.0)
GRID = Grid((0.3, 0.5, 0.7), (0.0, 4.0, 9.0))


def example(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and a truth of a few blobs."""
    generator = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(generator.normal(size=(16, 14, 9)), 1.0) for _ in range(2)]
    probability = ndimage.gaussian_filter(generator.random((16, 14, 9)), 0.6)
    probability = (probability - probability.min()) / np.ptp(probability)
    return probability, fields[0] > np.quantile(fields[0], 0.94)


def cleaned(mask: np.ndarray, minimum_mm3: float) -> np.ndarray:
    """Return the mask without pieces below a volume, as prediction would hand it out."""
    pieces, count = ndimage.label(mask, structure=TWENTY_SIX)
    volumes = ndimage.sum_labels(mask, pieces, range(1, count + 1)) * np.prod(SPACING)
    return np.isin(pieces, 1 + np.flatnonzero(volumes >= minimum_mm3)) & mask


def without_floods(mask: np.ndarray, truth: np.ndarray, rule: MatchRule) -> tuple[np.ndarray, int]:
    """Return the mask without lesions of which less than a tenth is near the truth, and how many of those touch it."""

    def grown(what: np.ndarray) -> np.ndarray:
        return ndimage.binary_dilation(what, EIGHTEEN, rule.dilations) if rule.dilations else what

    near = grown(truth)
    joined, count = ndimage.label(grown(mask) if rule.merge_predictions else mask, structure=TWENTY_SIX)
    dry, floods = mask.copy(), 0
    for number in range(1, count + 1):
        piece = mask & (joined == number)
        share = near[piece].mean()
        if piece.sum() > rule.delete_predicted_up_to_voxels and 0 < share < 0.1:
            dry &= ~piece
            floods += 1
    return dry, floods


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("protocol", ["voxel", "brats-met-2023", "brats-met-2024"])
def test_equals_scoring_each_mask_by_itself(protocol: str, seed: int) -> None:
    probability, truth = example(seed)
    rule = sweep_rule(PROTOCOLS[protocol], np.diag([*SPACING, 1.0]))
    found = sweep(probability, truth, rule, GRID)
    # SNFH alone: no necrosis that joins pieces, so WT is matched by the rule and nothing else
    value, region = (1, "lesion") if protocol == "voxel" else (2, "WT")
    assert found.truth == truth.sum()
    for row, threshold in enumerate(GRID.thresholds):
        for column, minimum in enumerate(GRID.minimum_sizes):
            mask = cleaned(probability >= threshold, minimum)
            scores = evaluate_case(
                truth * np.uint8(value), mask * np.uint8(value), spacing_mm=SPACING, protocol=protocol
            )[region]
            assert scores["n_tp"] + scores["n_fn"] == found.lesions
            assert scores.counts.tp == found.true_positive[row, column]
            assert scores.counts.predicted == found.predicted[row, column]
            dry, floods = without_floods(mask, truth, rule.match)
            scores = evaluate_case(
                truth * np.uint8(value), dry * np.uint8(value), spacing_mm=SPACING, protocol=protocol
            )[region]
            assert scores["n_tp"] == found.found[row, column]
            assert scores["n_fp"] + floods == found.false[row, column]


@pytest.mark.parametrize("protocol", ["voxel", "brats-met-2023", "brats-met-2024"])
def test_a_piece_that_covers_the_head_finds_nothing(protocol: str) -> None:
    """At 0.2 two lesions are lost in one piece; at 0.6 they are found, and so is one that is five times too large."""
    probability = np.full((40, 20, 20), 0.3)
    truth = np.zeros(probability.shape, dtype=bool)
    truth[4:8, 4:8, 4:8] = truth[25:29, 4:8, 4:8] = True
    probability[4:8, 4:8, 4:8] = 0.9
    probability[24:31, 3:10, 3:10] = 0.9
    rule = sweep_rule(PROTOCOLS[protocol], np.eye(4))
    found = sweep(probability, truth, rule, Grid((0.2, 0.6)))
    assert found.found[:, 0].tolist() == [0, 2]
    assert found.false[:, 0].tolist() == [1, 0]
    confidences, hits = confidences_at(probability, truth, rule, threshold=0.2, minimum_size=0.0)
    assert hits.tolist() == [False]
    assert len(confidences) == 1


def test_slices_are_looked_at_one_by_one() -> None:
    probability = np.zeros((4, 4, 3))
    probability[1, 1] = 0.9  # one pixel in each of three slices
    truth = probability > 0
    scores = evaluate_masks(MaskPair(truth, truth, stack_of_slices=True, probability=probability))
    assert scores.chances is not None
    assert scores.chances.sweep.lesions == 3
    assert scores.chances.sweep.found[0, 0] == 3


def test_the_shape_of_masks_is_what_prediction_makes_of_them() -> None:
    ring = np.zeros((7, 7, 3))
    ring[1:6, 1:6, 1] = 0.9
    ring[2:5, 2:5, 1] = 0.1
    truth = np.zeros(ring.shape, dtype=bool)
    truth[2:5, 2:5, 1] = True  # in the hole
    rule = sweep_rule(PROTOCOLS["voxel"], np.eye(4))
    assert sweep(ring, truth, rule, Grid((0.5,))).found[0, 0] == 0
    filled = SweepRule(rule.match, shape=lambda mask: np.stack([ndimage.binary_fill_holes(p) for p in mask.T]).T)
    assert sweep(ring, truth, filled, Grid((0.5,))).found[0, 0] == 1


def test_nothing_anywhere() -> None:
    nothing = np.zeros((4, 4, 4))
    found = sweep(nothing, nothing > 0, sweep_rule(PROTOCOLS["voxel"], np.eye(4)), GRID)
    assert (found.lesions, found.found.sum(), found.false.sum(), found.predicted.sum()) == (0, 0, 0, 0)


def test_confidences_of_pieces_at_a_point() -> None:
    probability, truth = np.zeros((12, 4, 4)), np.zeros((12, 4, 4), dtype=bool)
    probability[1:3, 1, 1] = 0.6, 0.8  # a hit of two voxels
    probability[6:8, 1, 1] = 0.7, 0.9  # false
    probability[10, 1, 1] = 0.9  # too small
    truth[1, 1, 1] = True
    rule = sweep_rule(PROTOCOLS["voxel"], np.eye(4))
    confidences, hits = confidences_at(probability, truth, rule, threshold=0.5, minimum_size=2.0)
    assert sorted(zip(confidences.round(6).tolist(), hits.tolist(), strict=True)) == [(0.7, True), (0.8, False)]


def test_there_and_back_as_json() -> None:
    probability, truth = example(3)
    found = sweep(probability, truth, sweep_rule(PROTOCOLS["voxel"], None), GRID)
    again = Sweep.from_json(found.to_json())
    assert again.grid == found.grid
    assert (again.lesions, again.truth) == (found.lesions, found.truth)
    for name in ("found", "false", "true_positive", "predicted"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
