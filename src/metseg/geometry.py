"""Positions of voxels in space: axes, turns, windows and steps of a grid, and the comparison of two grids.

An affine is the (4, 4) matrix from voxel indices to millimetres in RAS+ (right, anterior, superior are positive), as in
NIfTI. Voxel indices name the centres of voxels: a grid of n voxels reaches from -1/2 to n - 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

#: Grids are the same if their voxels are closer than this: about 20 times what headers lose by rounding (float32, or
#: cosines with six digits), and a twentieth of a typical voxel.
GRID_TOLERANCE_MM = 0.05
#: Axes that deviate more than this from right angles are sheared; rounding in headers stays far below.
SHEAR_TOLERANCE_DEGREES = 0.1


class Grid(NamedTuple):
    """Shape and position of a volume; without an affine its position is unknown."""

    shape: Shape
    affine: Affine | None


def spacing_mm(affine: Affine) -> tuple[float, float, float]:
    """Return the length of a voxel along each of the array's axes.

    >>> spacing_mm(np.diag([-1.0, 2.0, 5.5, 1.0]))
    (1.0, 2.0, 5.5)
    """
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def directions(affine: Affine) -> Affine:
    """Return (3, 3): column i is the unit vector along array axis i."""
    return np.asarray(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0), dtype=np.float64)


def axis_codes(affine: Affine) -> str:
    """Return the direction of each array axis, as the nearest axis of the body.

    >>> axis_codes(np.diag([-1.0, -1.0, 3.0, 1.0]))
    'LPS'
    """
    turn = turn_to_ras(affine)
    codes = {axis: "RAS"[place] if not flip else "LPI"[place] for place, (axis, flip) in enumerate(turn.pairs())}
    return "".join(codes[axis] for axis in range(3))


def shear_degrees(affine: Affine) -> float:
    """Return the largest deviation from a right angle between two of the axes, in degrees.

    >>> sheared = np.eye(4); sheared[1, 2] = np.tan(np.radians(15))
    >>> round(shear_degrees(sheared), 6), shear_degrees(np.diag([2.0, -1, 3, 1]))
    (15.0, 0.0)
    """
    units = directions(affine)
    cosines = (units.T @ units)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(np.clip(np.abs(cosines).max(), 0, 1))))


def is_sheared(affine: Affine) -> bool:
    """Return whether the axes are not at right angles, as after a gantry tilt or an affine registration."""
    return shear_degrees(affine) > SHEAR_TOLERANCE_DEGREES


@dataclass(frozen=True)
class AxisTurn:
    """Reorder axes and reverse some of them. Voxel values do not change.

    Args:
        order: axis i of the result is axis ``order[i]`` of the input.
        flipped: whether axis i of the result runs backwards.

    >>> turn = AxisTurn((1, 0, 2), (False, True, False))
    >>> array = np.arange(6).reshape(2, 3, 1)
    >>> turn(array)[:, :, 0].tolist()
    [[3, 0], [4, 1], [5, 2]]
    >>> np.array_equal(turn.inverse()(turn(array)), array)
    True
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    @property
    def is_identity(self) -> bool:
        return self == AxisTurn()

    def pairs(self) -> list[tuple[int, bool]]:
        """Return the input axis of each axis of the result, and whether it is reversed."""
        return list(zip(self.order, self.flipped, strict=True))

    def __call__(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of an array (..., X, Y, Z) with its last three axes turned."""
        leading = array.ndim - 3
        turned = array.transpose(*range(leading), *(leading + axis for axis in self.order))
        x, y, z = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return turned[..., x, y, z]

    def shape(self, shape: Sequence[int]) -> Shape:
        """Return the shape (X, Y, Z) after turning."""
        x, y, z = (shape[axis] for axis in self.order)
        return x, y, z

    def affine(self, affine: Affine, shape: Sequence[int]) -> Affine:
        """Return the affine after turning a grid of ``shape``: every voxel keeps its position in space."""
        change = np.zeros((4, 4))
        change[3, 3] = 1
        for place, (axis, flip) in enumerate(self.pairs()):
            change[axis, place] = -1 if flip else 1
            change[axis, 3] = shape[axis] - 1 if flip else 0
        return np.asarray(affine @ change, dtype=np.float64)

    def inverse(self) -> AxisTurn:
        """Return the turn that undoes this one."""
        (_, x, flip_x), (_, y, flip_y), (_, z, flip_z) = sorted(
            (axis, place, flip) for place, (axis, flip) in enumerate(self.pairs())
        )
        return AxisTurn((x, y, z), (flip_x, flip_y, flip_z))

    def then(self, after: AxisTurn) -> AxisTurn:
        """Return the single turn equal to this one followed by ``after``.

        >>> turn = AxisTurn((2, 0, 1), (True, False, True))
        >>> turn.then(turn.inverse()).is_identity
        True
        """
        order = [self.order[axis] for axis in after.order]
        flipped = [self.flipped[axis] != flip for axis, flip in after.pairs()]
        return AxisTurn((order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2]))


def turn_to_ras(affine: Affine) -> AxisTurn:
    """Return the turn that points the array's axes right, anterior and superior, as closely as possible.

    Oblique axes stay oblique. The axis is chosen by nibabel's `io_orientation`.

    >>> turn_to_ras(np.diag([-1.0, -1.0, 1.0, 1.0])).flipped
    (True, True, False)
    """
    from nibabel.orientations import io_orientation

    orientation = io_orientation(affine)  # type: ignore[no-untyped-call]
    (_, x, flip_x), (_, y, flip_y), (_, z, flip_z) = sorted(
        (int(place), axis, bool(sign < 0)) for axis, (place, sign) in enumerate(orientation)
    )
    return AxisTurn((x, y, z), (flip_x, flip_y, flip_z))


def turn_between(affine: Affine, wanted: Affine) -> AxisTurn:
    """Return the turn that gives one grid the axis codes of another.

    >>> turn_between(np.diag([-1.0, 1, 1, 1]), np.diag([-3.0, 1, -1, 1])).flipped
    (False, False, True)
    """
    return turn_to_ras(affine).then(turn_to_ras(wanted).inverse())


def turn_onto(affine: Affine, wanted: Affine) -> AxisTurn:
    """Return the turn that aligns the axes of a grid with those of another, or none if they do not align.

    Axes are compared with each other and not with those of the body as in `turn_between`, so this also holds at 45
    degrees. It does not check whether the turned grid equals the other.

    >>> turned = AxisTurn((2, 0, 1), (True, False, True)).affine(np.diag([1.0, 2, 3, 1]), (4, 5, 6))
    >>> turn_onto(turned, np.diag([1.0, 2, 3, 1])) == AxisTurn((2, 0, 1), (True, False, True)).inverse()
    True
    >>> turn_onto(np.diag([1.0, 1, 1, 1]), np.diag([3.0, 3, 3, 1])).is_identity
    True
    """
    # In column i: along which axes of the wanted grid the i-th axis runs, and whether forwards.
    steps = np.rint(np.linalg.solve(directions(wanted), directions(affine))).astype(int)
    if not np.array_equal(abs(steps).sum(axis=0), (1, 1, 1)) or not np.array_equal(abs(steps).sum(axis=1), (1, 1, 1)):
        return AxisTurn()
    x, y, z = (int(axis) for axis in abs(steps).argmax(axis=1))
    flip_x, flip_y, flip_z = (bool(row.sum() < 0) for row in steps)
    return AxisTurn((x, y, z), (flip_x, flip_y, flip_z))


def stepped_affine(affine: Affine, *, step: Sequence[float] = (1, 1, 1), start: Sequence[float] = (0, 0, 0)) -> Affine:
    """Return the affine of a grid with voxel i at the old position ``start + step * i``, in voxels along each axis.

    Crops have a start, pads a negative one; resampling has a step too.

    >>> stepped_affine(np.eye(4), step=(2, 1, 1), start=(0.5, -3, 0)).tolist()
    [[2.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, -3.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    change = np.diag([*map(float, step), 1.0])
    change[:3, 3] = start
    return np.asarray(affine @ change, dtype=np.float64)


def centred_steps(size: int, step: float) -> tuple[int, float]:
    """Return the number of steps that cover an axis of ``size`` voxels, and the first position for equal centres.

    The new voxels cover the old ones whole; at either end they may reach less than half a step further.

    >>> centred_steps(4, 2.0), centred_steps(5, 2.0), centred_steps(3, 0.5)
    ((2, 0.5), (3, 0.0), (6, -0.25))
    """
    count = max(1, int(np.ceil(size / step - 1e-3)))
    return count, (size - 1) / 2 - step * (count - 1) / 2


def voxel_map(source: Affine, target: Affine, world: Affine | None = None) -> Affine:
    """Return the (4, 4) matrix from voxels of the target grid to voxels of the source grid.

    Args:
        source, target: affines of the two grids.
        world: maps a point (mm, RAS) of the target's space to the source's space; None: the identity.

    >>> voxel_map(np.diag([2.0, 2, 2, 1]), np.eye(4)) @ [6, 4, 2, 1]
    array([3., 2., 1., 1.])
    """
    there = target if world is None else world @ target
    return np.asarray(np.linalg.solve(source, there), dtype=np.float64)


def corners_mm(grid: Grid) -> npt.NDArray[np.float64]:
    """Return the centres of the corner voxels, (8, 3) mm. The grid must have an affine."""
    assert grid.affine is not None
    last = np.asarray(grid.shape, dtype=np.float64) - 1
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * last
    return np.asarray(corners @ grid.affine[:3, :3].T + grid.affine[:3, 3], dtype=np.float64)


def same_grid(one: Grid, other: Grid, *, tolerance_mm: float = GRID_TOLERANCE_MM) -> bool:
    """Return whether two volumes can be compared voxel by voxel; see `grid_difference`."""
    return grid_difference(one, other, tolerance_mm=tolerance_mm) is None


def grid_difference(one: Grid, other: Grid, *, tolerance_mm: float = GRID_TOLERANCE_MM) -> str | None:
    """Describe how two grids differ, or return None if all voxels agree within the tolerance.

    Distances are largest at corners, because the map between two grids is affine. Two grids without an affine are the
    same if their shapes are.

    >>> grid_difference(Grid((4, 4, 2), np.eye(4)), Grid((4, 4, 2), np.diag([-1.0, 1, 1, 1])))
    'axes RAS and LAS, voxels up to 6 mm apart'
    """
    facts = [] if one.shape == other.shape else [f"shapes {one.shape} and {other.shape}"]
    if one.affine is None or other.affine is None:
        facts += [] if one.affine is other.affine else ["only one of them has a position in space"]
        return ", ".join(facts) or None
    apart_mm = 0.0 if facts else float(np.linalg.norm(corners_mm(one) - corners_mm(other), axis=1).max())
    if not facts and apart_mm <= tolerance_mm:
        return None
    codes = axis_codes(one.affine), axis_codes(other.affine)
    facts += [f"axes {codes[0]} and {codes[1]}"] if codes[0] != codes[1] else []
    spacings = ["x".join(f"{mm:.3f}" for mm in spacing_mm(affine)) for affine in (one.affine, other.affine)]
    facts += [f"spacings {spacings[0]} and {spacings[1]} mm"] if spacings[0] != spacings[1] else []
    facts += [f"voxels up to {apart_mm:.3g} mm apart"] if apart_mm > tolerance_mm else []
    return ", ".join(facts)
