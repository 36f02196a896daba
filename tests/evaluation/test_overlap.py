"""Overlap by hand, against scikit-learn's confusion matrix, and under symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score

from metseg.errors import GeometryError
from metseg.evaluation.metrics import overlap
from metseg.evaluation.metrics.overlap import (
    Confusion,
    confusion,
    joint_counts,
    micro_averaged_with_background,
    region_counts,
)
from metseg.labels import LABEL_SCHEMES, LabelScheme

FORMULAS = {
    "dice": overlap.dice,
    "iou": overlap.iou,
    "precision": overlap.precision,
    "sensitivity": overlap.sensitivity,
    "specificity": overlap.specificity,
    "accuracy": overlap.accuracy,
}

#: counts (tp, fp, fn, tn) -> figures in the order of FORMULAS, by hand.
BY_HAND = {
    (3, 1, 2, 14): (6 / 9, 3 / 6, 3 / 4, 3 / 5, 14 / 15, 17 / 20),
    (0, 4, 5, 11): (0, 0, 0, 0, 11 / 15, 11 / 20),
    (0, 0, 0, 20): (1, 1, 1, 1, 1, 1),  # both empty
    (0, 0, 5, 15): (0, 0, 0, 0, 1, 15 / 20),  # prediction empty
    (0, 5, 0, 15): (0, 0, 0, 0, 15 / 20, 15 / 20),  # truth empty
    (20, 0, 0, 0): (1, 1, 1, 1, 1, 1),  # the lesion fills the image
    (12, 0, 8, 0): (24 / 32, 12 / 20, 1, 12 / 20, 1, 12 / 20),  # so does the truth
}

masks = arrays.arrays(bool, arrays.array_shapes(min_dims=3, max_dims=3, max_side=5))


@pytest.mark.parametrize("counts", BY_HAND)
def test_figures_by_hand(counts: tuple[int, int, int, int]) -> None:
    figures = [formula(Confusion(*counts)) for formula in FORMULAS.values()]
    assert figures == pytest.approx(BY_HAND[counts])


def test_counts_of_a_small_image() -> None:
    truth = np.array([[1, 1, 0], [0, 0, 0]])
    prediction = np.array([[255, 0, 255], [255, 0, 0]])
    assert confusion(truth, prediction) == Confusion(tp=1, fp=2, fn=1, tn=2)


def test_counts_of_slices_add_up() -> None:
    generator = np.random.default_rng(0)
    truth, prediction = generator.random((2, 6, 5, 4)) > 0.6
    slices = [confusion(truth[..., z], prediction[..., z]) for z in range(4)]
    assert sum(slices[1:], slices[0]) == confusion(truth, prediction)


@settings(deadline=None)
@given(truth=masks, data=st.data())
def test_figures_equal_scikit_learn(truth: np.ndarray, data: st.DataObject) -> None:
    prediction = data.draw(arrays.arrays(bool, truth.shape))
    counts = confusion(truth, prediction)
    (tn, fp), (fn, tp) = confusion_matrix(truth.ravel(), prediction.ravel(), labels=[False, True])
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (tp, fp, fn, tn)
    assert overlap.dice(counts) == pytest.approx(f1_score(truth.ravel(), prediction.ravel(), zero_division=1.0))
    assert overlap.iou(counts) == pytest.approx(jaccard_score(truth.ravel(), prediction.ravel(), zero_division=1.0))


@settings(deadline=None)
@given(truth=masks, data=st.data())
def test_symmetries(truth: np.ndarray, data: st.DataObject) -> None:
    prediction = data.draw(arrays.arrays(bool, truth.shape))
    axes = data.draw(st.permutations(range(3)))
    flips = data.draw(st.sets(st.integers(0, 2)))
    counts, swapped = confusion(truth, prediction), confusion(prediction, truth)
    turned = confusion(*(np.flip(mask, tuple(flips)).transpose(axes) for mask in (truth, prediction)))
    assert turned == counts
    assert overlap.dice(counts) == overlap.dice(swapped)
    assert overlap.iou(counts) == overlap.iou(swapped)
    assert overlap.precision(counts) == overlap.sensitivity(swapped)
    assert overlap.iou(counts) == pytest.approx(overlap.dice(counts) / (2 - overlap.dice(counts)))


def test_regions_from_one_pass_equal_masks_one_by_one() -> None:
    scheme = LABEL_SCHEMES["brats-gli-2021"]  # ids 1, 2, 4: not consecutive
    generator = np.random.default_rng(3)
    truth, prediction = generator.choice(np.array(scheme.values, dtype=np.uint8), size=(2, 7, 6, 5))
    joint = joint_counts(truth, prediction, scheme)
    assert joint.tolist() == confusion_matrix(truth.ravel(), prediction.ravel(), labels=scheme.values).tolist()
    for region in scheme.regions:
        expected = confusion(scheme.region_mask(truth, region), scheme.region_mask(prediction, region))
        assert region_counts(joint, scheme, region) == expected


def test_micro_averages_by_hand() -> None:
    # 100 pixels, 2 wrong: per class TP 90 + 5 + 3; each wrong pixel is one FP and one FN.
    joint = np.array([[90, 1, 0], [0, 5, 0], [1, 0, 3]])
    assert micro_averaged_with_background(joint) == {
        "micro_accuracy_with_background": 0.98,
        "micro_iou_with_background": 98 / 102,
        "micro_precision_with_background": 0.98,
    }


def test_micro_average_praises_an_empty_prediction() -> None:
    """Why these figures have a name of their own: Dice 0, "IoU" 0.96."""
    joint = np.array([[980, 0], [20, 0]])
    scheme = LABEL_SCHEMES["binary"]
    assert overlap.dice(region_counts(joint, scheme, "lesion")) == 0
    assert micro_averaged_with_background(joint)["micro_iou_with_background"] > 0.96


@pytest.mark.parametrize(("one", "other"), [((2, 3), (3, 2)), ((0, 3), (0, 3)), ((2, 2), (2, 2, 1))])
def test_arrays_that_cannot_be_compared(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError):
        confusion(np.zeros(one), np.zeros(other))


@pytest.mark.parametrize("classes", [15, 16, 20, 255])
def test_many_classes_are_counted_apart(classes: int) -> None:
    scheme = LabelScheme({label: f"c{label}" for label in range(1, classes + 1)}, {"all": (1,)})
    generator = np.random.default_rng(classes)
    truth, prediction = generator.integers(0, classes + 1, (2, 20_000)).astype(np.uint8)
    truth[:2], prediction[:2] = classes, (0, classes)  # the corners of the table
    expected = confusion_matrix(truth, prediction, labels=range(classes + 1))
    np.testing.assert_array_equal(joint_counts(truth, prediction, scheme), expected)
