"""Every average over classes, compared with scikit-learn, and what published figures can mean."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score, precision_score, recall_score

from metseg.evaluation.metrics.averages import class_averages, class_counts
from metseg.evaluation.metrics.overlap import joint_counts
from metseg.labels import LABEL_SCHEMES

SCHEME = LABEL_SCHEMES["brats-met-2023"]


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, size=(20, 20, 5), p=(0.7, 0.1, 0.1, 0.1)).astype(np.uint8)
    wrong = rng.random(truth.shape) < 0.3
    return truth, np.where(wrong, rng.integers(0, 4, truth.shape), truth).astype(np.uint8)


@pytest.mark.parametrize(
    ("figure", "reference"), [("iou", jaccard_score), ("precision", precision_score), ("sensitivity", recall_score)]
)
def test_macro_and_micro_are_those_of_scikit_learn(figure: str, reference: object) -> None:
    truth, found = drawn()
    got = class_averages(joint_counts(truth, found, SCHEME), SCHEME)
    for labels, ending in (([0, 1, 2, 3], " with background"), ([1, 2, 3], "")):
        for average in ("macro", "micro"):
            expected = reference(truth.ravel(), found.ravel(), labels=labels, average=average)  # type: ignore[operator]
            assert got.readings[average + ending][figure] == pytest.approx(expected)


def test_the_lesion_is_all_classes_as_one() -> None:
    truth, found = drawn(1)
    got = class_averages(joint_counts(truth, found, SCHEME), SCHEME)
    expected = jaccard_score(truth.ravel() > 0, found.ravel() > 0)
    assert got.readings["lesion"]["iou"] == pytest.approx(expected)
    assert list(got.classes) == ["background", "NETC", "SNFH", "ET"]


def test_counts_of_a_class() -> None:
    counts = class_counts(np.array([[90, 1, 2], [3, 5, 0], [1, 0, 4]]), 1)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (5, 1, 3, 97)


def test_an_iou_of_097_with_a_dice_of_064_is_a_pooled_figure_of_all_classes() -> None:
    """Lesions of 1 % of the voxels, half of them found: the lesion's IoU is 0.48 where its Dice is 0.645."""
    joint = np.array([[9850, 20, 15, 20], [10, 20, 0, 0], [15, 0, 20, 0], [10, 0, 0, 40]])
    got = class_averages(joint, SCHEME)
    dice = got.readings["lesion"]["dice"]
    assert got.readings["lesion"]["iou"] == pytest.approx(dice / (2 - dice))
    near = got.near("iou", 0.9681, tolerance=0.02)
    assert set(near) == {"micro with background"} or set(near) == {"micro with background", "class background"}
    # Sensitivity equals precision where every wrong voxel is one FP and one FN.
    micro = got.readings["micro with background"]
    assert micro["sensitivity"] == micro["precision"]
    # With four classes a wrong voxel counts once in 4 N: specificity 1 - wrong / (3 N), above accuracy over classes.
    wrong = 1 - np.trace(joint) / joint.sum()
    assert micro["specificity"] == pytest.approx(1 - wrong / 3)
