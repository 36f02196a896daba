"""Which lesion of the truth was found by which of the prediction: once per region, for every protocol.

The protocols differ in a few numbers, gathered in `MatchRule`; everything happens inside the box around both masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.measure import bounding_box, dilated, grown, label_instances
from metseg.measure.boxes import Box
from metseg.measure.instances import Instances

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MatchRule:
    """How a protocol makes and matches lesions.

    Args:
        dilations: how often truth is dilated, both to merge near pieces into one lesion and to meet predictions.
        merge_predictions: whether predicted pieces are merged by dilation in the same way.
        drop_truth_up_to_mm3: truth lesions of at most this volume are not scored; None: all are.
        delete_predicted_up_to_voxels: predicted lesions of at most this size do not exist.
        across_slices: whether a lesion goes on from slice to slice (26 neighbours) or not (8).
    """

    dilations: int = 0
    merge_predictions: bool = False
    drop_truth_up_to_mm3: float | None = None
    delete_predicted_up_to_voxels: int = 0
    across_slices: bool = True


@dataclass(frozen=True)
class Lesions:
    """The lesions of one mask.

    Args:
        ids: (X, Y, Z) uint32; 0 background, lesions 1..count without gaps.
        reach: ids again, grown by the rule's dilation: what a lesion can touch.
        count: how many.
    """

    ids: Instances
    reach: Instances
    count: int


@dataclass(frozen=True)
class Matching:
    """Truth and prediction as lesions, inside a common box, and who touches whom.

    Args:
        truth: lesions of the truth.
        prediction: lesions of the prediction.
        touching: for each truth lesion, in order, the ids of the predicted ones that its reach meets.
        box: where in the image the arrays lie.
    """

    truth: Lesions
    prediction: Lesions
    touching: tuple[tuple[int, ...], ...]
    box: Box

    @property
    def false_positives(self) -> tuple[int, ...]:
        """Return the ids of the predicted lesions that touch no lesion of the truth."""
        met = {number for touched in self.touching for number in touched}
        return tuple(number for number in range(1, self.prediction.count + 1) if number not in met)


def match_lesions(truth: Mask, prediction: Mask, rule: MatchRule) -> Matching:
    """Make lesions of two masks and match them.

    Args:
        truth: (X, Y, Z).
        prediction: (X, Y, Z).
        rule: the protocol's numbers.
    """
    box = common_box(truth, prediction, rule.dilations)
    return matching_of(truth_lesions(truth[box], rule), predicted_lesions(prediction[box], rule), box)


def common_box(truth: Mask, prediction: Mask, margin: int) -> Box:
    """Return the box around both masks with a margin, cut at the image's edge; one corner voxel if both are empty."""
    box = bounding_box(truth | prediction) or (slice(0, 1),) * truth.ndim
    return grown(box, margin, truth.shape)


def truth_lesions(mask: Mask, rule: MatchRule) -> Lesions:
    """Return the lesions of a truth mask: pieces whose dilations touch are one."""
    return _merged(mask, rule)


def predicted_lesions(mask: Mask, rule: MatchRule) -> Lesions:
    """Return the lesions of a predicted mask, merged if the rule says so, tiny ones deleted after that."""
    if rule.merge_predictions:
        return without_tiny(_merged(mask, rule), rule.delete_predicted_up_to_voxels)
    ids, count = label_instances(mask, across_slices=rule.across_slices)
    return without_tiny(Lesions(ids, ids, count), rule.delete_predicted_up_to_voxels)


def _merged(mask: Mask, rule: MatchRule) -> Lesions:
    reach, count = label_instances(dilated(mask, rule.dilations), across_slices=rule.across_slices)
    return Lesions(np.where(mask, reach, np.uint32(0)), reach, count)


def without_tiny(lesions: Lesions, up_to_voxels: int) -> Lesions:
    """Return the lesions of more than ``up_to_voxels`` voxels, numbered anew in the same order."""
    if up_to_voxels <= 0 or lesions.count == 0:
        return lesions
    sizes = np.bincount(lesions.ids.ravel(), minlength=lesions.count + 1)
    kept = sizes > up_to_voxels
    kept[0] = False
    return renumbered(lesions, np.where(kept, np.cumsum(kept), 0))


def renumbered(lesions: Lesions, new_ids: npt.NDArray[np.integer]) -> Lesions:
    """Return the lesions under new numbers.

    Args:
        lesions: numbered 1..N.
        new_ids: (N + 1,) new number of each old one, 0 for background and for what is deleted; no gaps.
    """
    table = np.asarray(new_ids, dtype=np.uint32)
    return Lesions(table[lesions.ids], table[lesions.reach], int(table.max(initial=0)))


def matching_of(truth: Lesions, prediction: Lesions, box: Box) -> Matching:
    """Return who touches whom: a predicted lesion is met where it lies in the reach of one of the truth."""
    touching: list[list[int]] = [[] for _ in range(truth.count)]
    for true_id, predicted_id in touching_pairs(truth.reach, prediction.ids):
        touching[true_id - 1].append(predicted_id)
    return Matching(truth, prediction, tuple(tuple(found) for found in touching), box)


def touching_pairs(one: Instances, other: Instances) -> list[tuple[int, int]]:
    """Return every pair of ids that share a voxel, in rising order."""
    both = (one > 0) & (other > 0)
    # As one number each: sorting rows of two takes many times as long.
    width = int(other.max(initial=0)) + 1
    codes = np.unique(one[both].astype(np.int64) * width + other[both])
    return [(int(code) // width, int(code) % width) for code in codes]
