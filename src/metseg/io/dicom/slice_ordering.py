"""Order slices along their normal and compute the affine of their volume.

DICOM positions are in patient coordinates that point left, posterior and superior (LPS); metseg's
affines are RAS, so x and y change sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError

Points = npt.NDArray[np.float64]

#: Pictures nearer than this along the normal are at one place.
SAME_PLACE_MM = 0.01
#: By how much of their distance slices may be off an even grid; scanners round positions.
EVENNESS = 0.05
#: The smallest of these that counts, so that rounding of positions to 0.01 mm does not.
EVENNESS_MM = 0.02
#: How far the stack may lean, as a tangent; what is within is in the affine.
LEAN = 0.01
#: How far direction cosines may be from unit length and from right angles.
COSINES = 1e-2
#: An overridden stack is filled up to so many times its own slices.
MAX_FILLED = 4

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Arrangement:
    """Where each picture goes.

    Args:
        groups: numbers of the pictures at each place, places ascending along the normal; several in one are duplicates.
        slots: place of each group on an even grid, in slices: 0, 1, 2 where none is missing.
        count: slices of the grid.
        affine: (4, 4) voxel-to-RAS of the grid in mm.
        distances_mm: smallest and largest distance of two neighbours.
        is_even: whether every slot is a whole number, but for rounding.
    """

    groups: tuple[tuple[int, ...], ...]
    slots: tuple[float, ...]
    count: int
    affine: Points
    distances_mm: tuple[float, float]
    is_even: bool

    @property
    def missing(self) -> int:
        """Return how many slices of the grid have no picture."""
        return self.count - len(self.groups)

    @property
    def step_mm(self) -> float:
        return float(np.linalg.norm(self.affine[:3, 2]))


def arrange(
    positions_mm: Points,
    orientation: Points,
    *,
    spacing_mm: tuple[float, float],
    single_step_mm: float | None,
) -> Arrangement:
    """Return the order of pictures in parallel planes, and their affine.

    Args:
        positions_mm: (N, 3) of each picture's first pixel, LPS.
        orientation: (6,) unit vectors along a row and along a column, LPS (PS3.3 C.7.6.2.1.1).
        spacing_mm: between rows, between columns, as DICOM's PixelSpacing.
        single_step_mm: thickness of a slice, for a stack of one.
    Raises:
        GeometryError: ``input.no_geometry`` for vectors that are none, ``input.geometry`` for pictures that do not lie
            behind one another.

    >>> positions = np.array([[0.0, 0, 6], [0, 0, 0], [0, 0, 3]])
    >>> found = arrange(positions, np.array([1.0, 0, 0, 0, 1, 0]), spacing_mm=(0.5, 0.4), single_step_mm=None)
    >>> found.groups, found.affine.diagonal().tolist()
    (((1,), (2,), (0,)), [-0.4, -0.5, 3.0, 1.0])
    """
    row, column = _directions(orientation)
    if min(spacing_mm) <= 0:
        raise _no_geometry("a pixel size that is not positive")
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    along = positions_mm @ normal
    groups = _groups(along)
    places = positions_mm[[group[0] for group in groups]]
    slots, count, is_even = _slots(along[[group[0] for group in groups]])
    step = _step(places, normal, count, single_step_mm)
    _check_line(positions_mm, groups, slots, step=step, normal=normal)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = row * spacing_mm[1], column * spacing_mm[0]
    lps[:3, 2], lps[:3, 3] = step, places[0]
    distances = np.diff(along[[group[0] for group in groups]])
    extremes = (float(distances.min()), float(distances.max())) if len(distances) else (0.0, 0.0)
    return Arrangement(groups, slots, count, LPS_TO_RAS @ lps, extremes, is_even)


def _directions(orientation: Points) -> tuple[Points, Points]:
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > COSINES or abs(float(row @ column)) > COSINES:
        raise _no_geometry("an orientation that is not two orthogonal unit vectors")
    return row / lengths[0], column / lengths[1]


def _groups(along: Points) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the pictures at each place, in ascending order of place."""
    order = np.argsort(along, kind="stable")
    groups: list[list[int]] = [[int(order[0])]]
    for before, number in pairwise(order):
        if along[number] - along[before] <= SAME_PLACE_MM:
            groups[-1].append(int(number))
        else:
            groups.append([int(number)])
    return tuple(tuple(group) for group in groups)


def _slots(along: Points) -> tuple[tuple[float, ...], int, bool]:
    """Return the places on an even grid from the first to the last, how many slices that has, and whether all fit."""
    if len(along) == 1:
        return (0.0,), 1, True
    distances = np.diff(along)
    # Slices may be missing, so that only the short distances tell what the distance is.
    usual = float(np.median(distances[distances <= 1.5 * distances.min()]))
    steps = max(round(float(along[-1] - along[0]) / usual), 1)
    slots = (along - along[0]) / (along[-1] - along[0]) * steps
    nearest = np.round(slots)
    off_mm = np.abs(slots - nearest) * usual
    is_even = bool((off_mm <= max(EVENNESS * usual, EVENNESS_MM)).all() and len(np.unique(nearest)) == len(nearest))
    return tuple(float(slot) for slot in (nearest if is_even else slots)), steps + 1, is_even


def _step(places: Points, normal: Points, count: int, single_step_mm: float | None) -> Points:
    """Return the way from one slice of the grid to the next."""
    if len(places) == 1:
        if single_step_mm is None or single_step_mm <= 0:
            raise _no_geometry("a single slice of unknown thickness")
        return np.asarray(normal * single_step_mm)
    return np.asarray((places[-1] - places[0]) / (count - 1))


def _check_line(
    positions_mm: Points, groups: tuple[tuple[int, ...], ...], slots: tuple[float, ...], *, step: Points, normal: Points
) -> None:
    """Refuse pictures that are shifted against one another in their plane, as those of two stacks are."""
    forward = float(step @ normal)
    first = positions_mm[groups[0][0]]
    tolerance = max(EVENNESS * forward, EVENNESS_MM)
    leans = bool(np.linalg.norm(step - forward * normal) > LEAN * forward)
    for group, slot in zip(groups, slots, strict=True):
        shift = positions_mm[list(group)] - first - slot * step
        in_plane = shift - np.outer(shift @ normal, normal)
        leans = leans or bool((np.linalg.norm(in_plane, axis=1) > tolerance).any())
    if leans:
        raise GeometryError(
            "the slices are shifted relative to each other",
            cure="give one stack of parallel slices",
            code="input.geometry",
        )


def _no_geometry(got: str) -> GeometryError:
    return GeometryError(
        "the images have no position",
        expected="position, orientation and pixel size of each image",
        got=got,
        cure="export the original images; screenshots and results cannot be used",
        code="input.no_geometry",
    )
