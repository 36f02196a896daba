"""Lesions found and false ones over a grid of thresholds and smallest sizes: what FROC and operating points need.

At each threshold, the connected pieces of what reaches it are the predicted lesions; pieces smaller than the smallest
size are removed, as prediction does; the rest is matched by the protocol's own rule, but for pieces that are flooded:
at low thresholds pieces flow together, and one that covers the head would touch every lesion and be no false one. A
piece that is nearly all outside of lesions finds none, and is false. A case is kept as counts on the grid, whatever
its lesions, so memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.evaluation.lesions.lesion_matching import (
    MatchRule,
    NumberedLesions,
    common_box,
    predicted_lesions,
    touching_pairs,
    truth_lesions,
)
from metseg.measure import label_instances, voxels_needed
from metseg.measure.instances import Instances

Mask = npt.NDArray[np.bool_]
Probability = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]

#: Turns what reaches a threshold into the mask that prediction would make of it (fills holes, say).
Shape = Callable[[Mask], Mask]

#: Close together at both ends, where FROC curves are steep.
THRESHOLDS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 20)), 0.98, 0.99)

#: Least share of a predicted lesion that has to be within reach of true ones for it to find any. A tenth is the least
#: overlap that detection is commonly counted with (nnDetection, arXiv:2106.00817; the challenge PI-CAI's picai_eval).
LEAST_SHARE = 0.1

#: Smallest sizes that an operating point chooses among: mm³, or pixels of pictures. 0: nothing is removed.
MINIMUM_SIZES = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0, 120.0, 200.0)


@dataclass(frozen=True)
class Grid:
    """Where a case is looked at.

    Args:
        thresholds: least probability of lesion, rising.
        minimum_sizes: least size of a predicted piece, rising.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    minimum_sizes: tuple[float, ...] = (0.0,)


#: For FROC: every threshold, nothing removed.
FROC_GRID = Grid()

#: For operating points.
FULL_GRID = Grid(minimum_sizes=MINIMUM_SIZES)


@dataclass(frozen=True)
class Sweep:
    """One case on the grid; T thresholds, M smallest sizes.

    Args:
        grid: the thresholds and sizes.
        lesions: scored lesions of the truth.
        found: (T, M) how many of these are found.
        false: (T, M) how many predicted lesions are none.
        true_positive: (T, M) voxels in common.
        predicted: (T, M) voxels predicted.
        truth: voxels of the truth.
    """

    grid: Grid
    lesions: int
    found: Integers
    false: Integers
    true_positive: Integers
    predicted: Integers
    truth: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "thresholds": list(self.grid.thresholds),
            "minimum_sizes": list(self.grid.minimum_sizes),
            "lesions": self.lesions,
            "truth": self.truth,
            **{name: getattr(self, name).tolist() for name in _TABLES},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sweep:
        """Return what `to_json` was given.

        Raises:
            KeyError, TypeError, ValueError: the document is another one.
        """
        return cls(
            Grid(tuple(document["thresholds"]), tuple(document["minimum_sizes"])),
            lesions=int(document["lesions"]),
            truth=int(document["truth"]),
            **{name: np.array(document[name], dtype=np.int64) for name in _TABLES},
        )


_TABLES = ("found", "false", "true_positive", "predicted")


@dataclass(frozen=True)
class SweepRule:
    """By what a case is swept.

    Args:
        match: the protocol's numbers.
        voxel_size: mm³ of a voxel, which smallest sizes are counted in; 1 where the data have no spacing.
        spacing_known: whether the data have one: a protocol leaves out truth lesions up to a volume only then.
        shape: what prediction does to a mask before small pieces are removed; None: nothing.
    """

    match: MatchRule
    voxel_size: float = 1.0
    spacing_known: bool = True
    shape: Shape | None = None


def sweep(probability: Probability, truth: Mask, rule: SweepRule, grid: Grid = FROC_GRID) -> Sweep:
    """Return how many lesions are found, and how many predicted ones are none, at every point of a grid.

    Args:
        probability: (X, Y, Z) of lesion, 0..1.
        truth: (X, Y, Z).
        rule: how lesions are made and matched.
        grid: thresholds and smallest sizes.
    """
    box = common_box(truth, probability >= grid.thresholds[0], rule.match.dilations)
    chances = probability[box]
    minimum = np.array([voxels_needed(size, rule.voxel_size) for size in grid.minimum_sizes])
    case = _Case(truth[box], truth_lesions(truth[box], rule.match), rule, minimum)
    rows = [case.row(chances >= threshold) for threshold in grid.thresholds]
    tables = {name: np.stack(columns) for name, columns in zip(_TABLES, zip(*rows, strict=True), strict=True)}
    return Sweep(grid, lesions=int(case.scored.sum()), truth=int(np.count_nonzero(case.truth)), **tables)


def confidences_at(
    probability: Probability, truth: Mask, rule: SweepRule, *, threshold: float, minimum_size: float
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return the mean probability of every predicted piece at one point, and whether it is a hit; (N,) each.

    Args:
        probability: (X, Y, Z) of lesion, 0..1.
        truth: (X, Y, Z).
        rule: how lesions are made and matched; pieces are not merged, for prediction does not merge them.
        threshold: least probability of lesion.
        minimum_size: least size of a piece.
    """
    box = common_box(truth, probability >= threshold, rule.match.dilations)
    chances = probability[box]
    mask = chances >= threshold
    pieces, count = label_instances(
        mask if rule.shape is None else rule.shape(mask), across_slices=rule.match.across_slices
    )
    voxels = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    sums = np.bincount(pieces.ravel(), weights=chances.ravel(), minlength=count + 1)[1:]
    hits = np.zeros(count, dtype=bool)
    reach = truth_lesions(truth[box], rule.match).reach
    hits[[piece - 1 for _, piece in finding_pairs(reach, pieces, count)]] = True
    kept = voxels >= voxels_needed(minimum_size, rule.voxel_size)
    return np.asarray(sums[kept] / voxels[kept], dtype=np.float64), hits[kept]


def finding_pairs(reach: Instances, pieces: Instances, count: int) -> list[tuple[int, int]]:
    """Return which lesion of the truth is found by which predicted piece: those that touch, but for flooded pieces.

    Args:
        reach: (X, Y, Z) true lesions, grown by the rule's dilation.
        pieces: (X, Y, Z) predicted ones, 1..count.
        count: how many.
    """
    voxels = np.bincount(pieces.ravel(), minlength=count + 1)
    within = np.bincount(pieces[reach > 0], minlength=count + 1)
    return [
        (lesion, piece)
        for lesion, piece in touching_pairs(reach, pieces)
        if within[piece] >= LEAST_SHARE * voxels[piece]
    ]


@dataclass(frozen=True)
class _Case:
    """The truth of a case, and how its predictions are looked at."""

    truth: Mask
    lesions: NumberedLesions
    rule: SweepRule
    minimum_voxels: Integers

    @cached_property
    def scored(self) -> Mask:
        """Return (N,) whether each lesion of the truth counts."""
        sizes = np.bincount(self.lesions.numbers, minlength=self.lesions.count + 1)[1:] * self.rule.voxel_size
        dropped = self.rule.match.drop_truth_up_to_mm3
        if dropped is None or not self.rule.spacing_known:
            return np.ones(self.lesions.count, dtype=bool)
        return np.asarray(sizes > dropped)

    def row(self, mask: Mask) -> tuple[Integers, ...]:
        """Return found, false, true positive and predicted voxels, (M,) each, of one threshold's mask."""
        mask = mask if self.rule.shape is None else self.rule.shape(mask)
        pieces, count = label_instances(mask, across_slices=self.rule.match.across_slices)
        voxels = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        right = np.bincount(pieces[self.truth], minlength=count + 1)[1:]
        kept = voxels >= self.minimum_voxels[:, np.newaxis]
        matched = self._each_size if self.rule.match.merge_predictions else self._at_once
        return *matched(pieces, voxels, kept), kept @ right, kept @ voxels

    def _at_once(self, pieces: Instances, voxels: Integers, kept: Mask) -> tuple[Integers, Integers]:
        """Return found and false, where every piece is a predicted lesion: one matching tells all sizes."""
        kept = kept & (voxels > self.rule.match.delete_predicted_up_to_voxels)
        largest = np.zeros((self.lesions.count, len(kept)), dtype=bool)
        touched = np.zeros(len(voxels), dtype=bool)
        for lesion, piece in finding_pairs(self.lesions.reach, pieces, len(voxels)):
            largest[lesion - 1] |= kept[:, piece - 1]
            touched[piece - 1] = True
        return largest[self.scored].sum(axis=0), (kept & ~touched).sum(axis=1)

    def _each_size(self, pieces: Instances, _voxels: Integers, kept: Mask) -> tuple[Integers, Integers]:
        """Return found and false, where pieces are merged after small ones were removed: one matching for each size."""
        outcomes: list[tuple[int, int]] = []
        for number, chosen in enumerate(kept):
            if number and np.array_equal(chosen, kept[number - 1]):
                outcomes.append(outcomes[-1])
                continue
            predicted = predicted_lesions(np.concatenate([[False], chosen])[pieces], self.rule.match)
            pairs = finding_pairs(self.lesions.reach, predicted.ids, predicted.count)
            hit = {lesion for lesion, _ in pairs}
            touched = {number for _, number in pairs}
            found = sum(bool(counts) for lesion, counts in enumerate(self.scored, start=1) if lesion in hit)
            outcomes.append((found, predicted.count - len(touched)))
        found, false = np.array(outcomes, dtype=np.int64).T
        return found, false
