"""Scores on paper are the scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metseg.evaluation import MaskPair, compare_sets, evaluate_masks, summarize
from metseg.evaluation.case_scoring import CaseScores
from metseg.evaluation.files.serialization import scores_from_json, scores_to_json


def scored(patient: str, seed: int, affine: np.ndarray | None) -> CaseScores:
    truth, prediction = np.random.default_rng(seed).random((2, 9, 8, 7)) > 0.8
    masks = MaskPair(
        truth, prediction, affine, case=f"{patient}1", patient=patient, stack_of_slices=affine is None, warnings=("w",)
    )
    return evaluate_masks(masks)


@pytest.mark.parametrize("affine", [None, np.diag([0.3, 1.0, 1.7, 1.0])])
def test_a_summary_is_the_same_to_the_last_digit(affine: np.ndarray | None) -> None:
    scores = [scored(patient, seed, affine) for seed, patient in enumerate("abc")]
    text = json.dumps([scores_to_json(score) for score in scores], allow_nan=False)
    again = [scores_from_json(document) for document in json.loads(text)]
    assert summarize(again, resamples=50) == summarize(scores, resamples=50)
    for one, other in zip(again, scores, strict=True):
        assert (one.case, one.patient, one.protocol, one.warnings) == (
            other.case, other.patient, other.protocol, other.warnings,
        )  # fmt: skip
        assert one["lesion"].metrics == other["lesion"].metrics
        assert one["lesion"].slices == other["lesion"].slices
        np.testing.assert_array_equal(one.joint, other.joint)


def test_a_metric_that_there_was_not_yet_is_not_known() -> None:
    """A run of before a metric existed loads, is summarised and compared on what it has."""
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[2:4, 2:4, 2:4] = 1
    document = scores_to_json(evaluate_masks(MaskPair(truth, truth, np.eye(4), case="c")))
    for region in document["regions"].values():
        del region["values"]["nsd_1.0"]
        del region["tally"]
    del document["chances"]
    old = scores_from_json(document)
    assert old["lesion"]["nsd_1.0"] is None
    assert old["lesion"]["dice"] == 1.0
    summary = summarize([old], resamples=20)
    assert summary.regions["lesion"].metrics["nsd_1.0"] is None
    assert {one.metric for one in compare_sets({"a": [old], "b": [old]}, resamples=20)} >= {"dice", "hd95_mm"}
