"""Many cases to one summary: by patient, empty cases counted, slices weighed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.evaluation import MaskPair, ScoringConfig, evaluate_masks, summarize
from metseg.evaluation.case_scoring import CaseScores

FULL, NOTHING = np.ones((2, 2, 4), dtype=np.uint8), np.zeros((2, 2, 4), dtype=np.uint8)
HALF = FULL.copy()
HALF[:, :, 2:] = 0  # Dice with FULL: 2 * 8 / (8 + 16) = 2/3


def scored(case: str, patient: str, truth: np.ndarray, prediction: np.ndarray, **more: object) -> CaseScores:
    return evaluate_masks(MaskPair(truth, prediction, case=case, patient=patient, **more))  # type: ignore[arg-type]


def test_means_are_over_patients_not_cases() -> None:
    scores = [
        scored("a1", "a", FULL, FULL),
        scored("a2", "a", FULL, NOTHING),
        scored("b", "b", FULL, HALF),
    ]
    summary = summarize(scores, resamples=200)
    dice = summary.regions["lesion"].metrics["dice"]
    assert dice is not None
    assert dice.mean == pytest.approx((0.5 + 2 / 3) / 2)
    assert (summary.cases, summary.patients, dice.patients) == (3, 2, 2)
    assert dice.low == pytest.approx(0.5)
    assert dice.high == pytest.approx(2 / 3)


def test_empty_cases_are_counted_by_kind() -> None:
    pairs = [(FULL, FULL), (FULL, NOTHING), (NOTHING, FULL), (NOTHING, NOTHING), (NOTHING, NOTHING)]
    scores = [scored(str(n), str(n), *pair) for n, pair in enumerate(pairs)]
    region = summarize(scores, resamples=50).regions["lesion"]
    assert region.empty == {"truth_only": 1, "prediction_only": 1, "both": 2}
    assert region.lesions == {"n_tp": 1, "n_fn": 1, "n_fp": 1}
    dice = region.metrics["dice"]
    assert dice is not None
    assert (dice.mean, dice.patients) == (pytest.approx(3 / 5), 5)


def test_slice_figures_weigh_every_slice_of_the_set_the_same() -> None:
    long = np.zeros((2, 2, 8), dtype=np.uint8)
    long[:, :, 0] = 1
    scores = [
        scored("a", "a", FULL, NOTHING, stack_of_slices=True),  # 4 positive slices, all 0
        scored("b", "b", long, long, stack_of_slices=True),  # 1 positive slice 1.0, 8 slices 1.0
        scored("c", "c", NOTHING, NOTHING, stack_of_slices=True),  # no positive slice, 4 slices 1.0
    ]
    slices = summarize(scores, resamples=50).regions["lesion"].slice_metrics
    positive, every = slices["dice_positive_slices"], slices["dice_all_slices"]
    assert positive is not None
    assert every is not None
    assert positive.mean == pytest.approx(1 / 5)
    assert (positive.patients, positive.undefined) == (2, 1)
    assert every.mean == pytest.approx(12 / 16)


def test_pixels_of_all_cases_are_pooled() -> None:
    summary = summarize([scored("a", "a", FULL, NOTHING), scored("b", "b", FULL, FULL)], resamples=50)
    assert summary.pixels["micro_accuracy_with_background"] == 0.5
    assert summary.pixels["micro_iou_with_background"] == pytest.approx(16 / 48)


def test_the_document_is_plain_json_and_says_what_is_not_defined() -> None:
    document = json.loads(
        json.dumps(summarize([scored("a", "a", FULL, HALF)], resamples=50).to_json(), allow_nan=False)
    )
    metrics = document["regions"]["lesion"]["metrics"]
    assert metrics["hd95_mm"] is None
    assert metrics["dice"] == {"mean": pytest.approx(2 / 3), "low": None, "high": None, "patients": 1, "undefined": 0}
    assert document["interval"] == {"over": "patients", "level": 0.95, "resamples": 50, "seed": 0}


def test_what_cannot_be_averaged() -> None:
    with pytest.raises(InputError, match="no case"):
        summarize([])
    other = evaluate_masks(MaskPair(FULL, FULL, np.eye(4), case="b"), ScoringConfig("brats-met-2023"))
    with pytest.raises(InputError, match="different protocols"):
        summarize([scored("a", "a", FULL, FULL), other])
