"""Match the lesions of two examinations in one space: one to one, pieces of a split, parts of a merger.

The match is a global assignment (`scipy.optimize.linear_sum_assignment`). A pair may be matched if enough of one lesion
lies within a tolerance of the other, or if one of them is small and their centres are close. Its cost is

    (1 - mean of the two overlaps) / 2 + min(1, distance of centres / (sum of the radii + tolerance)) / 2

between 0 and 1; an earlier lesion that stays alone costs 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from metseg.longitudinal.measured_lesion import MeasuredLesion, Points

Matrix = npt.NDArray[np.float64]

#: Cost of an earlier lesion that stays alone, and of a pair that must not be matched.
ALONE, IMPOSSIBLE = 1.0, 4.0


@dataclass(frozen=True)
class MatchingRules:
    """Limits of the match, all in mm or shares.

    Args:
        tolerance_mm: distance within which a point of one lesion overlaps another: registration errors, and brain
            displaced by growth or resection.
        least_overlap: of the lesion that overlaps more, for a match.
        small_mm: diameter of the sphere of equal volume below which a lesion is also matched by distance.
        largest_distance_mm: between the centres, for a match by distance.
        piece_tolerance_mm: as ``tolerance_mm``, for pieces: a satellite beside a lesion is new and not its piece.
        piece_overlap: share of a piece that lies in the lesion it came from, or that it was merged into.
    """

    tolerance_mm: float = 2.0
    least_overlap: float = 0.25
    small_mm: float = 10.0
    largest_distance_mm: float = 4.0
    piece_tolerance_mm: float = 0.5
    piece_overlap: float = 0.5


DEFAULT_RULES = MatchingRules()


@dataclass(frozen=True)
class PlacedLesion:
    """A lesion in the space of the first examination.

    Args:
        lesion: as measured at its own examination.
        points_mm: (N, 3) its voxel centres in the first examination's space.
    """

    lesion: MeasuredLesion
    points_mm: Points

    @classmethod
    def of(cls, lesion: MeasuredLesion, to_first_mm: Matrix) -> PlacedLesion:
        return cls(lesion, lesion.points_mm @ to_first_mm[:3, :3].T + to_first_mm[:3, 3])

    @property
    def centre_mm(self) -> Points:
        return np.asarray(self.points_mm.mean(axis=0), dtype=np.float64)

    @property
    def half_voxel_mm(self) -> float:
        return max(self.lesion.spacing_mm) / 2


class Matches(NamedTuple):
    """Which lesions belong together; positions in the two lists.

    Args:
        pairs: earlier to later lesion, one to one.
        split_from: later lesion to the earlier one that it is a piece of.
        merged_into: earlier lesion to the later one that it has become part of.
    """

    pairs: dict[int, int]
    split_from: dict[int, int]
    merged_into: dict[int, int]


def match_lesions(
    earlier: Sequence[PlacedLesion], later: Sequence[PlacedLesion], rules: MatchingRules = DEFAULT_RULES
) -> Matches:
    """Match the lesions of two examinations.

    Args:
        earlier, later: in one space.
        rules: limits of the match.
    """
    pairs = assign(earlier, later, rules)
    strict = _overlaps(earlier, later, rules.piece_tolerance_mm)
    return Matches(pairs, _pieces(strict[1], pairs, rules), _parts(strict[0], pairs, rules))


def assign(
    earlier: Sequence[PlacedLesion], later: Sequence[PlacedLesion], rules: MatchingRules = DEFAULT_RULES
) -> dict[int, int]:
    """Return the one-to-one part of the match, position in ``earlier`` to position in ``later``."""
    if not earlier or not later:
        return {}
    costs = _costs(earlier, later, rules)
    alone = np.full((len(earlier), len(earlier)), ALONE)
    rows, columns = linear_sum_assignment(np.hstack([costs, alone]))
    return {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if column < len(later) and costs[row, column] < IMPOSSIBLE
    }


def _costs(earlier: Sequence[PlacedLesion], later: Sequence[PlacedLesion], rules: MatchingRules) -> Matrix:
    """Return the cost of each pair, (earlier, later)."""
    of_earlier, of_later = _overlaps(earlier, later, rules.tolerance_mm)
    centres = [np.array([one.centre_mm for one in lesions]) for lesions in (earlier, later)]
    radii = [np.array([one.lesion.radius_mm for one in lesions]) for lesions in (earlier, later)]
    distances = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    smaller_mm = 2 * np.minimum(radii[0][:, None], radii[1][None])
    allowed = np.maximum(of_earlier, of_later) >= rules.least_overlap
    allowed |= (smaller_mm < rules.small_mm) & (distances <= rules.largest_distance_mm)
    reach = radii[0][:, None] + radii[1][None] + rules.tolerance_mm
    costs = (1 - (of_earlier + of_later) / 2) / 2 + np.minimum(1, distances / reach) / 2
    return np.where(allowed, costs, IMPOSSIBLE)


def _overlaps(
    earlier: Sequence[PlacedLesion], later: Sequence[PlacedLesion], tolerance_mm: float
) -> tuple[Matrix, Matrix]:
    """Return the share of each earlier lesion that lies within the tolerance of each later one, and the reverse."""
    of_earlier = np.zeros((len(earlier), len(later)))
    of_later = np.zeros_like(of_earlier)
    trees = [[KDTree(one.points_mm) for one in lesions] for lesions in (earlier, later)]
    for row, one in enumerate(earlier):
        for column, other in enumerate(later):
            if _are_far(one.points_mm, other.points_mm, tolerance_mm + one.half_voxel_mm + other.half_voxel_mm):
                continue
            of_earlier[row, column] = _share(one, trees[1][column], tolerance_mm + other.half_voxel_mm)
            of_later[row, column] = _share(other, trees[0][row], tolerance_mm + one.half_voxel_mm)
    return of_earlier, of_later


def _are_far(one: Points, other: Points, distance_mm: float) -> bool:
    """Return whether the boxes of two sets of points are farther apart than a distance along some axis."""
    gaps = np.maximum(other.min(axis=0) - one.max(axis=0), one.min(axis=0) - other.max(axis=0))
    return bool((gaps > distance_mm).any())


def _share(lesion: PlacedLesion, other: KDTree, distance_mm: float) -> float:
    distances, _ = other.query(lesion.points_mm, distance_upper_bound=distance_mm)
    return float(np.isfinite(distances).mean())


def _pieces(of_later: Matrix, pairs: dict[int, int], rules: MatchingRules) -> dict[int, int]:
    """Return the later lesions without a match that lie in an earlier lesion with one: pieces of a split."""
    return _inside(of_later.T, alone=set(range(of_later.shape[1])) - set(pairs.values()), hosts=set(pairs), rules=rules)


def _parts(of_earlier: Matrix, pairs: dict[int, int], rules: MatchingRules) -> dict[int, int]:
    """Return the earlier lesions without a match that lie in a later lesion with one: parts of a merger."""
    hosts = set(pairs.values())
    return _inside(of_earlier, alone=set(range(of_earlier.shape[0])) - set(pairs), hosts=hosts, rules=rules)


def _inside(shares: Matrix, *, alone: set[int], hosts: set[int], rules: MatchingRules) -> dict[int, int]:
    """Return each lesion that lies in a host, to the host that holds most of it.

    Args:
        shares: (lesions, others) share of a lesion that lies in another.
        alone: lesions to find a host for.
        hosts: the others that can be one.
    """
    found = {}
    for place in sorted(alone):
        best = max(sorted(hosts), key=lambda host: shares[place, host], default=None)
        if best is not None and shares[place, best] >= rules.piece_overlap:
            found[place] = best
    return found
