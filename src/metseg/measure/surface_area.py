"""The area of the surface inside a cube of 2×2×2 voxels, for each of its 256 configurations.

Marching cubes with vertices at the midpoints of the cut edges. Corners that share an edge of the cube are joined,
corners that touch across a diagonal are not; with more than four corners filled, the empty ones are used instead
(the surface is the same). Six shapes remain; the pentagon and the bent hexagon are not flat:

- one corner: a triangle;
- two: a rectangle;
- three (an L in one face): half the face, parallel to it, and a trapezium that leans on the third corner;
- four in a face: the middle square;
- four around a corner: the regular hexagon;
- four in a winding chain: a triangle and two strips that follow its ends.

Each flat piece is written as its normal with the area as length, for a cube of side 1. Stretching the cube to the
voxel size turns a normal (n_x, n_y, n_z) into (n_x s_y s_z, n_y s_x s_z, n_z s_x s_y), so only absolute values count.
The areas equal the table in DeepMind's surface-distance package, against which they are tested.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import numpy.typing as npt

#: Corner (i, j, k) of the cube has bit 7 - (4 i + 2 j + k).
CORNERS: tuple[tuple[int, int, int], ...] = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))
FULL = 255

Corner = tuple[int, int, int]
Normal = tuple[float, float, float]


def code_of(corners: set[Corner]) -> int:
    """Return the code of a cube with these corners filled.

    >>> code_of({(1, 1, 1)}), code_of({(0, 0, 0)})
    (1, 128)
    """
    return sum(1 << (7 - CORNERS.index(corner)) for corner in corners)


def _filled(code: int) -> set[Corner]:
    corners = {corner for bit, corner in enumerate(CORNERS) if code >> (7 - bit) & 1}
    return corners if len(corners) <= 4 else set(CORNERS) - corners


def _adjacent(one: Corner, other: Corner) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=True)) == 1


def _pieces(corners: set[Corner]) -> list[set[Corner]]:
    """Split corners into groups joined by edges of the cube."""
    pieces: list[set[Corner]] = []
    for corner in corners:
        touching = [piece for piece in pieces if any(_adjacent(corner, member) for member in piece)]
        pieces = [piece for piece in pieces if piece not in touching]
        pieces.append({corner}.union(*touching))
    return pieces


def _along(axis: int, on: float, off: float) -> Normal:
    x, y, z = (on if other == axis else off for other in range(3))
    return x, y, z


def _normals(piece: set[Corner]) -> list[Normal]:
    """Return the flat pieces of the surface around one group of at most four joined corners."""
    edges = [
        (one, other, next(axis for axis in range(3) if one[axis] != other[axis]))
        for one, other in itertools.combinations(sorted(piece), 2)
        if _adjacent(one, other)
    ]
    directions = {axis for _, _, axis in edges}
    absent = next(iter({0, 1, 2} - directions), 0)
    degrees = [sum(corner in edge[:2] for edge in edges) for corner in sorted(piece)]
    if len(piece) == 1:
        return [(0.125, 0.125, 0.125)]
    if len(piece) == 2:
        return [_along(edges[0][2], 0.0, 0.5)]
    if len(piece) == 3:
        return [_along(absent, 0.5, 0.0), (0.375, 0.375, 0.375)]
    if len(edges) == 4:
        return [_along(absent, 1.0, 0.0)]
    if max(degrees) == 3:
        return [(0.75, 0.75, 0.75)]
    return _chain_normals(edges)


def _chain_normals(edges: list[tuple[Corner, Corner, int]]) -> list[Normal]:
    """Return the flat pieces around four corners in a chain that turns into a new direction at every step."""
    middle = next(
        axis for one, other, axis in edges if all(sum(end in edge[:2] for edge in edges) == 2 for end in (one, other))
    )
    first, last = (axis for axis in range(3) if axis != middle)
    return [(0.5, 0.5, 0.5), _along(first, 0.0, 0.25), _along(last, 0.0, 0.25)]


@lru_cache(maxsize=1)
def _normal_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return every flat piece, (N, 3), and which code it belongs to, (N,)."""
    rows = [(code, normal) for code in range(256) for piece in _pieces(_filled(code)) for normal in _normals(piece)]
    return np.array([normal for _, normal in rows]), np.array([code for code, _ in rows])


@lru_cache(maxsize=64)
def surface_areas_mm2(spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return the area of the surface in a cube for each code.

    Args:
        spacing_mm: voxel size along the three axes.
    Returns:
        (256,) float64; 0 for the empty and the full cube.

    >>> float(surface_areas_mm2((1.0, 1.0, 1.0))[0b11110000])
    1.0
    """
    normals, codes = _normal_table()
    x, y, z = spacing_mm
    areas = np.linalg.norm(normals * np.array([y * z, x * z, x * y]), axis=1)
    table: npt.NDArray[np.float64] = np.zeros(256)
    np.add.at(table, codes, areas)
    table.flags.writeable = False
    return table
