"""Slice-wise Dice scores that publications report as "Dice", under distinct names.

metseg's Dice pools the voxels of all slices of a patient. "Dice on positive slices" is the mean over slices with lesion
in the truth; "mean Dice over all slices" counts 1 for every slice with an empty truth and an empty prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.evaluation.empty_masks import EMPTY_VALUES, Kind


@dataclass(frozen=True)
class SliceScores:
    """Dice per slice, averaged in the two ways found in publications.

    Args:
        dice_positive_slices: mean over the slices with lesion in the truth; None if there is none.
        dice_all_slices: mean over all slices.
        n_positive_slices: number of slices with lesion in the truth.
        n_slices: number of slices.
    """

    dice_positive_slices: float | None
    dice_all_slices: float
    n_positive_slices: int
    n_slices: int


def slice_scores(truth: npt.NDArray[np.bool_], prediction: npt.NDArray[np.bool_], n_slices: int) -> SliceScores:
    """Return the slice-wise Dice of one region of one stack.

    Args:
        truth: (X, Y, Z) the region in the truth; empty slices may be cropped at both ends.
        prediction: (X, Y, Z) likewise.
        n_slices: number of slices in the whole stack; the cropped ones are empty in both.
    """
    tp = np.count_nonzero(truth & prediction, axis=(0, 1))
    in_truth = np.count_nonzero(truth, axis=(0, 1))
    total = in_truth + np.count_nonzero(prediction, axis=(0, 1))
    both_empty, _ = EMPTY_VALUES[Kind.OVERLAP]
    per_slice = np.where(total == 0, both_empty, 2 * tp / np.maximum(total, 1))
    positive = in_truth > 0
    cut_off = n_slices - len(per_slice)
    return SliceScores(
        dice_positive_slices=float(per_slice[positive].mean()) if positive.any() else None,
        dice_all_slices=float((per_slice.sum() + cut_off * both_empty) / n_slices),
        n_positive_slices=int(positive.sum()),
        n_slices=n_slices,
    )
