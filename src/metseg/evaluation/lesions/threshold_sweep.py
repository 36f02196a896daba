"""Count found and false positive lesions over a grid of thresholds and minimum sizes, for FROC and operating points.

At each threshold, the connected components of the voxels at or above it are the predicted lesions. Components below
the minimum size are removed, as in prediction. The rest are matched by the rule of the protocol, with one exception: at
low thresholds components merge, and one that covers the head would touch every lesion and not count as a false
positive. A component that is almost entirely outside of lesions therefore finds none and is a false positive. A case
is stored as counts on the grid, so memory does not grow with its lesions.
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

#: Turns the voxels at or above a threshold into the mask that prediction would produce (fills holes, for example).
Shape = Callable[[Mask], Mask]

#: Denser at both ends, where FROC curves are steep.
THRESHOLDS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 20)), 0.98, 0.99)

#: Least share of a predicted lesion within reach of true ones that counts as a hit. A tenth is the smallest overlap
#: in common use for detection (nnDetection, arXiv:2106.00817; the challenge PI-CAI's picai_eval).
LEAST_SHARE = 0.1

#: Candidate minimum sizes of an operating point: mm³, or pixels of pictures. 0: nothing is removed.
MINIMUM_SIZES = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0, 120.0, 200.0)


@dataclass(frozen=True)
class Grid:
    """Grid of thresholds and minimum sizes.

    Args:
        thresholds: least probability of lesion, ascending.
        minimum_sizes: least size of a predicted component, ascending.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    minimum_sizes: tuple[float, ...] = (0.0,)


#: For FROC: every threshold, nothing removed.
FROC_GRID = Grid()

#: For operating points.
FULL_GRID = Grid(minimum_sizes=MINIMUM_SIZES)


@dataclass(frozen=True)
class Sweep:
    """Counts of one case on the grid; T thresholds, M minimum sizes.

    Args:
        grid: the thresholds and sizes.
        lesions: number of scored true lesions.
        found: (T, M) number of these that are found.
        false: (T, M) number of false positive lesions.
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
        """Return it as JSON values."""
        return {
            "thresholds": list(self.grid.thresholds),
            "minimum_sizes": list(self.grid.minimum_sizes),
            "lesions": self.lesions,
            "truth": self.truth,
            **{name: getattr(self, name).tolist() for name in _TABLES},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sweep:
        """Create it from the output of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the document has another format.
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
    """Rule of a threshold sweep.

    Args:
        match: the parameters of the protocol.
        voxel_size: volume of a voxel in mm³, for the minimum sizes; 1 if the data have no spacing.
        spacing_known: whether the data have a spacing; only then a protocol drops small true lesions.
        shape: changes that prediction makes to a mask before it removes small components; None: none.
    """

    match: MatchRule
    voxel_size: float = 1.0
    spacing_known: bool = True
    shape: Shape | None = None


def sweep(probability: Probability, truth: Mask, rule: SweepRule, grid: Grid = FROC_GRID) -> Sweep:
    """Return the numbers of found and false positive lesions at every point of a grid.

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
    """Return the mean probability of every predicted component at one point, and whether it is a hit; (N,) each.

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
    """Return the true lesions and predicted components that touch, without components mostly outside of lesions.

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
    """The truth of a case, and the evaluation of its predictions."""

    truth: Mask
    lesions: NumberedLesions
    rule: SweepRule
    minimum_voxels: Integers

    @cached_property
    def scored(self) -> Mask:
        """Return whether each true lesion is scored, (N,)."""
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
        """Return found and false counts if every component is a predicted lesion: one matching serves all sizes."""
        kept = kept & (voxels > self.rule.match.delete_predicted_up_to_voxels)
        largest = np.zeros((self.lesions.count, len(kept)), dtype=bool)
        touched = np.zeros(len(voxels), dtype=bool)
        for lesion, piece in finding_pairs(self.lesions.reach, pieces, len(voxels)):
            largest[lesion - 1] |= kept[:, piece - 1]
            touched[piece - 1] = True
        return largest[self.scored].sum(axis=0), (kept & ~touched).sum(axis=1)

    def _each_size(self, pieces: Instances, _voxels: Integers, kept: Mask) -> tuple[Integers, Integers]:
        """Return found and false counts if components are merged after small ones are removed: one match per size."""
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
