"""The surfaces of a region, computed once per lesion, for the whole region and for every pair of lesions.

All voxels around a corner are neighbours, so no surface element belongs to two components that do not touch: the
surface of a mask is the union of the surfaces of its components. The nearest element of the whole mask is also the
nearest element of its own lesion. A pair of lesions is therefore searched separately only if the nearest element
belongs to another lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.evaluation.empty_masks import Emptiness
from metseg.evaluation.lesions.lesion_matching import Matching, MatchRule
from metseg.evaluation.metrics.nearest_neighbours import nearest_points
from metseg.evaluation.metrics.surface_distance import Directed, Spacing, Surface, SurfaceDistances, surface_of
from metseg.measure import VoxelGroups

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ComponentSurfaces:
    """The surface elements of a mask, lesion by lesion.

    Args:
        surface: N elements, grouped by lesion.
        starts: (L + 1,) index of the first element of each lesion, and N.
    """

    surface: Surface
    starts: Integers

    @cached_property
    def owners(self) -> npt.NDArray[np.int32]:
        """Return the lesion, 1..L, of each element, (N,)."""
        return np.repeat(np.arange(1, len(self.starts), dtype=np.int32), np.diff(self.starts))

    def elements(self, numbers: Sequence[int]) -> Integers:
        """Return the indices of the elements of these lesions."""
        return np.concatenate([np.arange(self.starts[number - 1], self.starts[number]) for number in numbers])


def component_surfaces(lesions: VoxelGroups, spacing_mm: Spacing) -> ComponentSurfaces:
    """Return the surfaces of lesions that do not touch each other.

    Args:
        lesions: their voxels.
        spacing_mm: voxel size along the three axes.
    """
    surfaces = [surface_of(mask, spacing_mm) for mask in lesions.masks()]
    lows = np.array([[side.start for side in box] for box in lesions.boxes], dtype=np.int32).reshape(-1, 3)
    positions = [surface.positions + low for surface, low in zip(surfaces, lows, strict=True)]
    return ComponentSurfaces(
        Surface(
            np.concatenate([np.zeros((0, 3), dtype=np.int32), *positions]),
            np.concatenate([np.zeros(0), *(surface.areas_mm2 for surface in surfaces)]),
        ),
        np.cumsum([0, *map(len, surfaces)]),
    )


@dataclass(frozen=True)
class _Way:
    """The distances from one mask's surface to another's, both not empty."""

    start: ComponentSurfaces
    goal: ComponentSurfaces
    spacing_mm: Spacing

    @cached_property
    def nearest(self) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Return the distance of each element to the nearest one, (N,) mm, and the lesion of the nearest one, (N,)."""
        distances, nearest = nearest_points(self.start.surface.positions, self.goal.surface.positions, self.spacing_mm)
        return distances, self.goal.owners[nearest]

    def whole(self) -> Directed:
        """Return the distances from all elements."""
        return Directed.of(self.nearest[0], self.start.surface.areas_mm2)

    def between(self, some: Sequence[int], others: Sequence[int]) -> Directed:
        """Return the distances from some lesions to some lesions of the other mask."""
        elements = self.start.elements(some)
        distances = self.nearest[0][elements]
        astray = ~np.isin(self.nearest[1][elements], others)
        if astray.any():
            wanted = self.goal.surface.positions[self.goal.elements(others)]
            start = self.start.surface.positions[elements[astray]]
            distances[astray] = nearest_points(start, wanted, self.spacing_mm)[0]
        return Directed.of(distances, self.start.surface.areas_mm2[elements])


@dataclass(frozen=True)
class RegionSurfaces:
    """The surfaces of truth and prediction of a region.

    Args:
        truth: lesion by lesion.
        prediction: lesion by lesion.
        spacing_mm: voxel size along the three axes.
    """

    truth: ComponentSurfaces
    prediction: ComponentSurfaces
    spacing_mm: Spacing

    @cached_property
    def _ways(self) -> tuple[_Way, _Way]:
        return (
            _Way(self.truth, self.prediction, self.spacing_mm),
            _Way(self.prediction, self.truth, self.spacing_mm),
        )

    @cached_property
    def whole(self) -> SurfaceDistances:
        """Return the distances between both whole surfaces."""
        emptiness = Emptiness.of(len(self.truth.surface), len(self.prediction.surface))
        if emptiness is not Emptiness.NEITHER:
            return SurfaceDistances(emptiness)
        there, back = self._ways
        return SurfaceDistances(emptiness, there.whole(), back.whole())

    def between(self, number: int, joined: Sequence[int]) -> SurfaceDistances:
        """Return the distances between a true lesion and one or more predicted ones."""
        there, back = self._ways
        return SurfaceDistances(Emptiness.NEITHER, there.between([number], joined), back.between(joined, [number]))


def region_surfaces(matching: Matching, rule: MatchRule, spacing_mm: Spacing | None) -> RegionSurfaces | None:
    """Return the surfaces of the lesions; None without a spacing, or if lesions of two slices may touch."""
    if spacing_mm is None or not rule.across_slices:
        return None
    truth, prediction = (component_surfaces(side.groups, spacing_mm) for side in (matching.truth, matching.prediction))
    return RegionSurfaces(truth, prediction, spacing_mm)
