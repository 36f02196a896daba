"""Match true and predicted lesions, once per region, for every protocol.

The protocols differ in a few parameters, see `MatchRule`. All work is done inside the box around both masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.measure import Box, VoxelGroups, bounding_box, dilated, grown, label_instances, voxel_groups
from metseg.measure.instances import Instances

Mask = npt.NDArray[np.bool_]
Indices = tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True)
class MatchRule:
    """How a protocol separates and matches lesions.

    Args:
        dilations: number of dilations of the truth, both to merge close components into one lesion and to match
            predictions.
        merge_predictions: whether predicted components are merged by dilation in the same way.
        drop_truth_up_to_mm3: truth lesions of at most this volume are not scored; None: all are.
        delete_predicted_up_to_voxels: predicted lesions of at most this size are deleted.
        across_slices: whether a lesion continues across slices (26 neighbours) or not (8).
    """

    dilations: int = 0
    merge_predictions: bool = False
    drop_truth_up_to_mm3: float | None = None
    delete_predicted_up_to_voxels: int = 0
    across_slices: bool = True


@dataclass(frozen=True)
class NumberedLesions:
    """The lesions of one mask.

    Args:
        reach: (X, Y, Z) uint32; 0 background, lesions 1..count, dilated by the rule: the area that they can touch.
        voxels: the lesions themselves: three arrays, (N,) each, of the voxels' indices, in the image's order.
        numbers: (N,) uint32, the lesion of each of these voxels.
        count: number of lesions.
    """

    reach: Instances
    voxels: Indices
    numbers: Instances
    count: int

    @property
    def ids(self) -> Instances:
        """Return the lesions as an image, (X, Y, Z): 0 background, lesions 1..count without gaps."""
        ids = np.zeros(self.reach.shape, dtype=np.uint32)
        ids[self.voxels] = self.numbers
        return ids

    @cached_property
    def groups(self) -> VoxelGroups:
        """Return the voxels lesion by lesion."""
        return voxel_groups(self.voxels, self.numbers, self.count)


@dataclass(frozen=True)
class Matching:
    """True and predicted lesions inside a common box, and which of them touch.

    Args:
        truth: lesions of the truth.
        prediction: lesions of the prediction.
        touching: for each truth lesion, in order, the ids of the predicted ones that its reach overlaps.
        box: position of the arrays in the image.
    """

    truth: NumberedLesions
    prediction: NumberedLesions
    touching: tuple[tuple[int, ...], ...]
    box: Box

    @property
    def false_positives(self) -> tuple[int, ...]:
        """Return the ids of the predicted lesions that touch no lesion of the truth."""
        met = {number for touched in self.touching for number in touched}
        return tuple(number for number in range(1, self.prediction.count + 1) if number not in met)


def match_lesions(truth: Mask, prediction: Mask, rule: MatchRule) -> Matching:
    """Separate the lesions of two masks and match them.

    Args:
        truth: (X, Y, Z).
        prediction: (X, Y, Z).
        rule: the parameters of the protocol.
    """
    box = common_box(truth, prediction, rule.dilations)
    return matching_of(truth_lesions(truth[box], rule), predicted_lesions(prediction[box], rule), box)


def common_box(truth: Mask, prediction: Mask, margin: int) -> Box:
    """Return the box around both masks with a margin, clipped to the image; one corner voxel if both are empty."""
    box = bounding_box(truth | prediction) or (slice(0, 1),) * truth.ndim
    return grown(box, margin, truth.shape)


def truth_lesions(mask: Mask, rule: MatchRule) -> NumberedLesions:
    """Return the lesions of a truth mask; components that touch after dilation are one lesion."""
    return _merged(mask, rule)


def predicted_lesions(mask: Mask, rule: MatchRule) -> NumberedLesions:
    """Return the lesions of a predicted mask, merged if the rule requires it, without those that are too small."""
    if rule.merge_predictions:
        return remove_tiny(_merged(mask, rule), rule.delete_predicted_up_to_voxels)
    ids, count = label_instances(mask, across_slices=rule.across_slices)
    return remove_tiny(_lesions(mask, ids, count), rule.delete_predicted_up_to_voxels)


def _merged(mask: Mask, rule: MatchRule) -> NumberedLesions:
    grown_mask = dilated(mask, rule.dilations, across_slices=rule.across_slices)
    reach, count = label_instances(grown_mask, across_slices=rule.across_slices)
    return _lesions(mask, reach, count)


def _lesions(mask: Mask, reach: Instances, count: int) -> NumberedLesions:
    # Use flat indices: numpy needs ten times as long to find nonzero entries along several axes.
    voxels = np.unravel_index(np.flatnonzero(mask), mask.shape)
    return NumberedLesions(reach, voxels, reach[voxels], count)


def remove_tiny(lesions: NumberedLesions, up_to_voxels: int) -> NumberedLesions:
    """Return the lesions of more than ``up_to_voxels`` voxels, renumbered in the same order."""
    if up_to_voxels <= 0 or lesions.count == 0:
        return lesions
    sizes = np.bincount(lesions.numbers, minlength=lesions.count + 1)
    kept = sizes > up_to_voxels
    kept[0] = False
    return renumber(lesions, np.where(kept, np.cumsum(kept), 0))


def renumber(lesions: NumberedLesions, new_ids: npt.NDArray[np.integer]) -> NumberedLesions:
    """Return the lesions under new numbers.

    Args:
        lesions: numbered 1..N.
        new_ids: (N + 1,) new number of each old one, 0 for background and for what is deleted; no gaps.
    """
    table = np.asarray(new_ids, dtype=np.uint32)
    numbers = table[lesions.numbers]
    kept = numbers > 0
    voxels = tuple(axis[kept] for axis in lesions.voxels)
    return NumberedLesions(table[lesions.reach], voxels, numbers[kept], int(table.max(initial=0)))


def matching_of(truth: NumberedLesions, prediction: NumberedLesions, box: Box) -> Matching:
    """Return the matches: a predicted lesion touches a true one if it overlaps the true one's reach."""
    touching: list[list[int]] = [[] for _ in range(truth.count)]
    for true_id, predicted_id in reached_pairs(truth.reach, prediction):
        touching[true_id - 1].append(predicted_id)
    return Matching(truth, prediction, tuple(tuple(found) for found in touching), box)


def reached_pairs(reach: Instances, lesions: NumberedLesions) -> list[tuple[int, int]]:
    """Return every pair of an id in ``reach``, (X, Y, Z), and a lesion with a voxel there, in ascending order."""
    return _different_pairs(reach[lesions.voxels], lesions.numbers)


def touching_pairs(one: Instances, other: Instances) -> list[tuple[int, int]]:
    """Return every pair of ids, (X, Y, Z) both, that share a voxel, in ascending order."""
    inside = other > 0
    return _different_pairs(one[inside], other[inside])


def _different_pairs(one: Instances, other: Instances) -> list[tuple[int, int]]:
    """Return the distinct pairs of nonzero ids at the same index, (N,) both, in ascending order."""
    # Encode each pair as one number: sorting rows of two takes many times as long.
    width = int(other.max(initial=0)) + 1
    codes = np.unique(one[one > 0].astype(np.int64) * width + other[one > 0])
    return [(int(code) // width, int(code) % width) for code in codes]
