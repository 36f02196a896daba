"""Find the nearest of many grid points from each of many others: most in a small neighbourhood, the rest by k-d tree.

Two outlines of one lesion are often equal, and mostly one or two voxels apart. So a few dozen steps around each point
are looked up in an image of the goal, the shortest first. Only points without a neighbour there use the tree.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

Points = npt.NDArray[np.integer]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]

#: Above this number of points (only surfaces of noise have so many), a distance map is cheaper than a tree.
_TREE_LIMIT = 2_000_000

#: Neighbourhood in voxels along an axis, and the numbers of its shortest steps that are tried in turn.
_NEXT_DOOR = 3
_STEPS_TRIED = (1, 7, 19, 33, 64)

#: Number of points per batch, which limits the memory.
_POINTS_AT_ONCE = 1 << 16

#: With more voxels per point, the image takes longer to create than the tree that it replaces.
_VOXELS_PER_POINT = 512


def nearest_points(start: Points, goal: Points, spacing_mm: Spacing) -> tuple[Floats, Integers]:
    """Return the distance from each grid point of ``start`` to the nearest of ``goal``, and the index of that point.

    Distances are computed from the integer steps between two points: one voxel is exactly the spacing, so "within 1 mm"
    does not depend on rounding.

    Args:
        start: (N, 3) grid points.
        goal: (M, 3) grid points, M > 0, without duplicates.
        spacing_mm: grid step along the three axes.
    Returns:
        (N,) float64, mm, and (N,) indices into ``goal``.
    """
    if max(len(start), len(goal)) > _TREE_LIMIT:
        nearest = _by_map(start, goal, spacing_mm)
    else:
        nearest = _next_door(start, goal, spacing_mm)
        far = np.flatnonzero(nearest < 0)
        if far.size:
            # For distant points many leaves are equally near: fewer and larger ones are faster to search.
            tree = cKDTree(goal * np.asarray(spacing_mm), leafsize=64, balanced_tree=False, compact_nodes=False)
            nearest[far] = tree.query(start[far] * np.asarray(spacing_mm))[1]
    steps = goal[nearest]
    steps -= start
    return _lengths_mm(steps, spacing_mm), nearest


def _next_door(start: Points, goal: Points, spacing_mm: Spacing) -> Integers:
    """Return the index of the nearest goal point, (N,); -1 if none is in the neighbourhood."""
    nearest = np.full(len(start), -1, dtype=np.int64)
    low, high = goal.min(axis=0), goal.max(axis=0)
    origin, shape = low - 2 * _NEXT_DOOR, high - low + 4 * _NEXT_DOOR + 1
    if np.prod(shape) > _VOXELS_PER_POINT * (len(start) + len(goal)):
        return nearest
    image = np.zeros(np.prod(shape), dtype=bool)
    strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    places = (goal - origin) @ strides
    image[places] = True
    around = np.all((start >= low - _NEXT_DOOR) & (start <= high + _NEXT_DOOR), axis=1)
    steps = _shortest_steps(spacing_mm) @ strides
    for part in _parts(np.flatnonzero(around)):
        found = _first_hits(image, (start[part] - origin) @ strides, steps)
        nearest[part[found >= 0]] = _indices_of(found[found >= 0], places)
    return nearest


def _parts(indices: Integers) -> list[Integers]:
    return [indices[first : first + _POINTS_AT_ONCE] for first in range(0, len(indices), _POINTS_AT_ONCE)]


def _first_hits(image: npt.NDArray[np.bool_], places: Integers, steps: Integers) -> Integers:
    """Return the first nonzero index of the flat image among the steps from each index; -1 if there is none."""
    hits = np.full(len(places), -1, dtype=np.int64)
    waiting = np.arange(len(places))
    for first, last in itertools.pairwise((0, *_STEPS_TRIED)):
        if not (waiting.size and steps[first:last].size):
            break
        tried = places[waiting, np.newaxis] + steps[first:last]
        there = image[tried]
        nearest = there.argmax(axis=1)[:, np.newaxis]
        hit = np.take_along_axis(there, nearest, axis=1)[:, 0]
        hits[waiting[hit]] = np.take_along_axis(tried, nearest, axis=1)[hit, 0]
        waiting = waiting[~hit]
    return hits


@lru_cache(maxsize=64)
def _shortest_steps(spacing_mm: Spacing) -> Points:
    """Return the K shortest steps on the grid, (K, 3)."""
    reach = range(-_NEXT_DOOR, _NEXT_DOOR + 1)
    steps = np.array(list(itertools.product(reach, repeat=3)))
    lengths = _lengths_mm(steps, spacing_mm)
    inwards = lengths < (_NEXT_DOOR + 1) * min(spacing_mm)
    chosen = steps[inwards][np.argsort(lengths[inwards], kind="stable")[: _STEPS_TRIED[-1]]]
    chosen.flags.writeable = False
    return chosen


def _by_map(start: Points, goal: Points, spacing_mm: Spacing) -> Integers:
    origin = np.minimum(start.min(axis=0), goal.min(axis=0))
    extent = np.maximum(start.max(axis=0), goal.max(axis=0)) - origin + 1
    away = np.ones(extent, dtype=bool)
    away[tuple((goal - origin).T)] = False
    indices = ndimage.distance_transform_edt(away, sampling=spacing_mm, return_distances=False, return_indices=True)
    places = tuple((start - origin).T)
    found = np.ravel_multi_index(tuple(axis[places] for axis in indices), extent)
    del indices, places
    return _indices_of(found, np.ravel_multi_index(tuple((goal - origin).T), extent))


def _indices_of(wanted: Integers, numbers: Integers) -> Integers:
    """Return the index of each wanted number among distinct numbers."""
    order = np.argsort(numbers)
    return order[np.searchsorted(numbers, wanted, sorter=order)]


def _lengths_mm(steps: Points, spacing_mm: Spacing) -> Floats:
    squares = np.zeros(len(steps))
    for along, side in zip(steps.T, spacing_mm, strict=True):  # axis by axis: a third of the memory
        squares += (along * side) ** 2
    return np.sqrt(squares)
