"""Overlap of two masks: one pass over the voxels gives the counts, and simple formulas give the metrics.

The metrics take counts, not arrays, so that slices can be pooled over a patient by adding their counts. The values for
empty masks are defined in `metseg.evaluation.empty_masks` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.evaluation.empty_masks import Emptiness, Kind, empty_mask_value
from metseg.labels import LabelScheme


@dataclass(frozen=True)
class Confusion:
    """Numbers of true positive, false positive, false negative and true negative voxels. Counts can be added."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def truth(self) -> int:
        return self.tp + self.fn

    @property
    def predicted(self) -> int:
        return self.tp + self.fp

    @property
    def total(self) -> int:
        return self.tp + self.fp + self.fn + self.tn

    @property
    def emptiness(self) -> Emptiness:
        return Emptiness.of(self.truth, self.predicted)


def confusion(truth: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic]) -> Confusion:
    """Return the counts of two masks.

    Args:
        truth: any shape; nonzero voxels are lesion.
        prediction: the same shape.
    Raises:
        GeometryError: the shapes differ, or there is not a single voxel.

    >>> confusion(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]))
    Confusion(tp=1, fp=1, fn=1, tn=1)
    """
    require_same_shape(truth, prediction)
    truth_mask, predicted_mask = _as_mask(truth), _as_mask(prediction)
    tp = int(np.count_nonzero(truth_mask & predicted_mask))
    fn = int(np.count_nonzero(truth_mask)) - tp
    fp = int(np.count_nonzero(predicted_mask)) - tp
    return Confusion(tp, fp, fn, truth_mask.size - tp - fp - fn)


def _as_mask(array: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    return np.asarray(array if array.dtype == np.bool_ else array != 0, dtype=np.bool_)


def require_same_shape(truth: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic]) -> None:
    """Raise an error for arrays that cannot be compared voxel by voxel.

    Raises:
        GeometryError: the shapes differ, or there is not a single voxel.
    """
    if truth.shape != prediction.shape:
        raise GeometryError(
            "prediction and truth differ in shape",
            expected=truth.shape,
            got=prediction.shape,
            cure="bring them to one grid; metseg does not resample them",
            code="input.shape_mismatch",
        )
    if truth.size == 0:
        raise GeometryError("the masks contain no voxels", got=truth.shape)


def joint_counts(
    truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], scheme: LabelScheme
) -> npt.NDArray[np.int64]:
    """Count every pair of classes in one pass.

    Args:
        truth: any shape, class ids of ``scheme`` (see `metseg.labels.check_labels`).
        prediction: the same shape.
        scheme: the label scheme.
    Returns:
        (K, K) counts: row = true class, column = predicted class, in the order of ``scheme.values``, background first.
    Raises:
        GeometryError: the shapes differ, or there is not a single voxel.

    >>> from metseg.labels import LABEL_SCHEMES
    >>> joint_counts(np.array([0, 1, 1, 0], "u1"), np.array([0, 1, 0, 0], "u1"), LABEL_SCHEMES["binary"]).tolist()
    [[2, 0], [1, 1]]
    """
    require_same_shape(truth, prediction)
    size = len(scheme.values)
    # Only voxels that are labelled in either mask are counted: most of an image is background in both.
    labelled = (truth != 0) | (prediction != 0)
    of_truth, of_prediction = (scheme.to_indices(mask[labelled]) for mask in (truth, prediction))
    codes = of_truth.astype(np.min_scalar_type(size * size - 1), copy=False)
    codes *= codes.dtype.type(size)
    codes += of_prediction
    joint = np.bincount(codes, minlength=size * size).reshape(size, size)
    joint[0, 0] += labelled.size - codes.size
    return joint


def region_counts(joint: npt.NDArray[np.int64], scheme: LabelScheme, region: str) -> Confusion:
    """Return the counts of one region from `joint_counts`."""
    inside = np.isin(scheme.values, scheme.regions[region])
    return Confusion(
        tp=int(joint[np.ix_(inside, inside)].sum()),
        fp=int(joint[np.ix_(~inside, inside)].sum()),
        fn=int(joint[np.ix_(inside, ~inside)].sum()),
        tn=int(joint[np.ix_(~inside, ~inside)].sum()),
    )


def _ratio(numerator: float, denominator: float, counts: Confusion) -> float:
    decided = empty_mask_value(Kind.OVERLAP, counts.emptiness)
    return numerator / denominator if decided is None else decided


def dice(counts: Confusion) -> float:
    """Return 2 TP / (2 TP + FP + FN): Dice 1945, Sørensen 1948.

    >>> dice(Confusion(tp=3, fp=1, fn=1, tn=5)), dice(Confusion(tp=0, fp=0, fn=0, tn=9))
    (0.75, 1.0)
    """
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, counts)


def iou(counts: Confusion) -> float:
    """Return TP / (TP + FP + FN), the Jaccard index; for one class always Dice / (2 - Dice)."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, counts)


def precision(counts: Confusion) -> float:
    """Return TP / (TP + FP): the share of the predicted voxels that are lesion."""
    return _ratio(counts.tp, counts.predicted, counts)


def sensitivity(counts: Confusion) -> float:
    """Return TP / (TP + FN), also called recall: the share of the lesion that was predicted."""
    return _ratio(counts.tp, counts.truth, counts)


def specificity(counts: Confusion) -> float:
    """Return TN / (TN + FP); 1 if the truth fills the image, since no voxel can be a false positive."""
    background = counts.tn + counts.fp
    return counts.tn / background if background else 1.0


def accuracy(counts: Confusion) -> float:
    """Return (TP + TN) / all. Close to 1 for any small lesion, found or not: do not use it alone."""
    return (counts.tp + counts.tn) / counts.total


def micro_averaged_with_background(joint: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return accuracy, IoU and precision over all pixels of all classes, background included.

    Papers report these as plain accuracy, IoU and precision. Every pixel has exactly one class, so summed over the
    classes TP is the number of correct pixels, and every wrong pixel is one FP and one FN. Precision equals accuracy
    and IoU is
    ``right / (all + wrong)``. With 2 % lesion they exceed 0.95 for an empty prediction.

    Args:
        joint: (K, K) counts of `joint_counts`, of one case or of the sum of many.

    >>> micro_averaged_with_background(np.array([[90, 0], [10, 0]]))["micro_iou_with_background"]
    0.8181818181818182
    """
    right, total = int(np.trace(joint)), int(joint.sum())
    return {
        "micro_accuracy_with_background": right / total,
        "micro_iou_with_background": right / (2 * total - right),
        "micro_precision_with_background": right / total,
    }
