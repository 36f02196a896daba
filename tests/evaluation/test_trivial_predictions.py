"""A model that marks nothing, or everything, is named as such: by hand on small masks."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.evaluation import MaskPair, ScoringConfig, evaluate_masks, summarize
from metseg.evaluation.statistics.trivial_predictions import trivial_predictions

NOTHING = np.zeros((10, 10, 10), np.uint8)
EVERYTHING = np.ones((10, 10, 10), np.uint8)


def lesion(voxels: int) -> np.ndarray:
    mask = NOTHING.copy()
    mask.reshape(-1)[:voxels] = 1
    return mask


def said(*pairs: tuple[np.ndarray, np.ndarray]) -> tuple[str, ...]:
    scores = [evaluate_masks(MaskPair(truth, guess, case=f"c{n}")) for n, (truth, guess) in enumerate(pairs)]
    return trivial_predictions(scores)


def test_a_model_that_marks_nothing_is_named() -> None:
    pairs = [(lesion(8), NOTHING), (lesion(4), NOTHING), (NOTHING, NOTHING)]
    assert said(*pairs) == ("the predictions do not mark any lesion in 3 cases; the truth has one in 2",)


@pytest.mark.parametrize("guess", [EVERYTHING, lesion(700)])
def test_a_model_that_marks_everything_is_named(guess: np.ndarray) -> None:
    share = guess.mean()
    assert said((lesion(100), guess), (lesion(0), guess)) == (
        f"the predictions mark nearly everything as lesion: {share:.0%} of all voxels, where the truth has 5.0%",
    )


@pytest.mark.parametrize(
    ("truth", "guess"),
    [(NOTHING, NOTHING), (lesion(8), lesion(3)), (lesion(900), lesion(950)), (EVERYTHING, EVERYTHING)],
)
def test_others_are_not(truth: np.ndarray, guess: np.ndarray) -> None:
    assert said((truth, guess)) == ()


def test_one_case_with_a_prediction_is_enough_not_to_be_nothing() -> None:
    assert said((lesion(8), NOTHING), (lesion(8), lesion(1))) == ()


def test_a_region_that_is_never_marked_is_named() -> None:
    truth, guess = NOTHING.copy(), NOTHING.copy()
    truth[2:5, 2:5, 2:5] = 3
    guess[2:5, 2:5, 2:5] = 2  # oedema alone: whole tumour, no core and nothing enhancing
    scores = [evaluate_masks(MaskPair(truth, guess, case="c"), ScoringConfig(scheme="brats-met-2023"))]
    assert trivial_predictions(scores) == (
        "the predictions do not mark any TC in 1 case; the truth has one in 1",
        "the predictions do not mark any ET in 1 case; the truth has one in 1",
    )


def test_it_stands_first_in_the_summary() -> None:
    summary = summarize([evaluate_masks(MaskPair(lesion(8), NOTHING, case="c"))])
    assert summary.warnings[0] == summary.trivial[0] == summary.to_json()["trivial"][0]
