"""Where a lesion lies, as far as the images alone can say it: coordinates, and the side of the head.

A lobe is not named: without an atlas registered to the patient it would be a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from metseg.geometry import directions, turn_to_ras
from metseg.reporting.study.study_report import Point, Side

#: A lesion nearer than this to the middle of the head is on neither side: the middle is an estimate.
MIDLINE_MM = 10.0
#: A row through the head that is shorter than this (vertex, neck, chin) says too little of where its middle is.
LEAST_WIDTH_MM = 80.0
#: The row is that many voxels thick on each side of the lesion's centre, so that a dent in the skin does not matter.
BAND_VOXELS = 2
#: Axes that lean further away from those of the body do not tell left from right any more.
MAX_OBLIQUE_DEGREES = 25.0
#: How far from either end of the image the origin has to lie, as a share of it, from right to left, back to front and
#: bottom to top, for the signs of coordinates to tell directions.
ORIGIN_MARGINS = (0.3, 0.1, 0.1)


def oblique_degrees(affine: npt.NDArray[np.float64]) -> float:
    """Return the largest angle between an axis of a grid and the axis of the body that is nearest to it.

    >>> oblique_degrees(np.diag([-1.0, 2.0, 1.0, 1.0]))
    0.0
    """
    turn = turn_to_ras(affine)
    units = directions(affine)
    cosines = [abs(units[place, axis]) for place, (axis, _) in enumerate(turn.pairs())]
    return float(np.degrees(np.arccos(np.clip(min(cosines), 0, 1))))


def sides(
    image: npt.NDArray[np.generic], affine: npt.NDArray[np.float64], centres: Sequence[Point]
) -> tuple[Side | None, ...]:
    """Return on which side of the head's middle each lesion lies, or None where that cannot be known.

    The middle is that of the head along the left-right row through the lesion, so that a turned or tilted head does not
    matter much. What is left and right is what the affine says.

    Args:
        image: (X, Y, Z) of any real type.
        affine: (4, 4) voxel-to-RAS, mm.
        centres: of the lesions, in voxels.
    """
    from metseg.preprocess.head_mask import head_mask  # here alone, for it brings every step of preprocessing with it

    if oblique_degrees(affine) > MAX_OBLIQUE_DEGREES or not centres:
        return (None,) * len(centres)
    turn = turn_to_ras(affine)
    turned = np.ascontiguousarray(turn(image))
    head = head_mask(turned[None])
    if not head.any():
        return (None,) * len(centres)
    step_mm = float(np.linalg.norm(turn.affine(affine, image.shape)[:3, 0]))
    answers: list[Side | None] = []
    for centre in centres:
        x, y, z = (image.shape[axis] - 1 - centre[axis] if flipped else centre[axis] for axis, flipped in turn.pairs())
        middle = _middle(head, round(y), round(z), step_mm)
        answers.append(None if middle is None else _side((x - middle) * step_mm))
    return tuple(answers)


def _side(right_mm: float) -> Side:
    """Return the side of what lies so far to the right of the middle."""
    if abs(right_mm) < MIDLINE_MM:
        return "near midline"
    return "right" if right_mm > 0 else "left"


def _middle(head: npt.NDArray[np.bool_], y: int, z: int, step_mm: float) -> float | None:
    """Return the middle of the head, in voxels from left to right, in the row at (y, z) or else over all rows."""
    near = head[:, max(y - BAND_VOXELS, 0) : y + BAND_VOXELS + 1, max(z - BAND_VOXELS, 0) : z + BAND_VOXELS + 1]
    for rows in (near, head):
        there = np.flatnonzero(rows.any(axis=(1, 2)))
        if there.size == 0:
            continue
        first, last = int(there[0]), int(there[-1])
        cut_off = (first == 0) != (last == len(head) - 1)
        if not cut_off and (last - first + 1) * step_mm >= LEAST_WIDTH_MM:
            return (first + last) / 2
    return None


def is_origin_in_head(affine: npt.NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Return whether coordinates are counted from somewhere in the middle of the image, as those of scanners are.

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
    """Return whether letters may stand beside coordinates: the origin is in the head, and no letter contradicts a side.

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
    """Return a point as radiologists write it: towards which side, and how many millimetres.

    Args:
        centre_mm: RAS.
        lettered: the origin lies in the middle of the head, so that a sign tells a side.

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
