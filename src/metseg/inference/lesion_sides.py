"""Side of the head that a lesion is on, as far as the image alone shows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metseg.geometry import directions, turn_to_ras
from metseg.lesion import Lesion, Point, Side

#: A lesion nearer than this to the middle of the head is on neither side: the middle is an estimate.
MIDLINE_MM = 10.0
#: A row through the head that is shorter than this (vertex, neck, chin) says too little of where its middle is.
LEAST_WIDTH_MM = 80.0
#: The row is that many voxels thick on each side of the lesion's centre, so that a dent in the skin does not matter.
BAND_VOXELS = 2
#: Axes that lean further away from those of the body do not tell left from right any more.
MAX_OBLIQUE_DEGREES = 25.0


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


def with_sides(
    lesions: Sequence[Lesion], image: npt.NDArray[np.generic], affine: npt.NDArray[np.float64] | None
) -> tuple[Lesion, ...]:
    """Return lesions with the side of the head on which each lies.

    Args:
        lesions: of the image.
        image: (X, Y, Z) of any real type.
        affine: (4, 4) voxel-to-RAS, mm; None: pictures, which do not tell right from left.
    """
    if affine is None:
        return tuple(lesions)
    found = sides(image, affine, [lesion.centre_voxel for lesion in lesions])
    return tuple(lesion.model_copy(update={"side": side}) for lesion, side in zip(lesions, found, strict=True))
