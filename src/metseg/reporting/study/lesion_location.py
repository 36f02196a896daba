"""Describe the location of a lesion by its coordinates, with letters for directions if these are reliable.

Lobes are not named, because that needs an atlas registered to the patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from metseg.geometry import turn_to_ras
from metseg.lesion import Point, Side

#: How far from either end of the image the origin has to lie, as a share of it, from right to left, back to front and
#: bottom to top, for the signs of coordinates to tell directions.
ORIGIN_MARGINS = (0.3, 0.1, 0.1)


def is_origin_in_head(affine: npt.NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Return whether the origin of the coordinates is near the middle of the image, as with scanners.

    Public data sets have the origin in a corner: there every point would be to the right, anterior and superior.

    Args:
        affine: (4, 4) voxel-to-RAS, mm.
        shape: (X, Y, Z).

    >>> is_origin_in_head(np.eye(4), (240, 240, 155))
    False
    """
    turn = turn_to_ras(affine)
    origin = np.linalg.inv(affine)[:3, 3]
    shares = [(origin[axis] + 0.5) / shape[axis] for axis, _ in turn.pairs()]
    nearest = [min(share, 1 - share) for share in shares]
    return all(near >= least for near, least in zip(nearest, ORIGIN_MARGINS, strict=True))


def letters_hold(
    affine: npt.NDArray[np.float64], shape: Sequence[int], places: Iterable[tuple[Point | None, Side | None]]
) -> bool:
    """Return whether coordinates may have letters: the origin is in the head, and no letter contradicts a side.

    Args:
        affine, shape: as in `is_origin_in_head`.
        places: centre in RAS mm, and side from the middle of the head, of every lesion.

    >>> centred = np.array([[1.0, 0, 0, -100], [0, 1, 0, -100], [0, 0, 1, -100], [0, 0, 0, 1]])
    >>> letters_hold(centred, (200, 200, 200), [((12.0, 0.0, 0.0), "right")])
    True
    >>> letters_hold(centred, (200, 200, 200), [((12.0, 0.0, 0.0), "left")])
    False
    """
    return is_origin_in_head(affine, shape) and not any(
        centre is not None and ((side == "left" and round(centre[0]) > 0) or (side == "right" and round(centre[0]) < 0))
        for centre, side in places
    )


def coordinates(centre_mm: Point, *, lettered: bool = True) -> str:
    """Return a point as radiologists write it: direction and millimetres.

    Args:
        centre_mm: RAS.
        lettered: the origin is in the middle of the head, so signs indicate sides.

    >>> coordinates((12.4, -30.0, -0.2))
    'R 12, P 30, S 0'
    >>> coordinates((92.0, 141.2, -7.0), lettered=False)
    'x 92, y 141, z -7'
    """
    if not lettered:
        return ", ".join(f"{axis} {round(mm)}" for axis, mm in zip("xyz", centre_mm, strict=True))
    letters = (("R", "L"), ("A", "P"), ("S", "I"))
    rounded = zip((round(mm) for mm in centre_mm), letters, strict=True)
    return ", ".join(f"{one if mm >= 0 else other} {abs(mm)}" for mm, (one, other) in rounded)
