"""Contours of a mask in one plane, along the edges of its pixels.

A contour encloses exactly the pixels of the mask: its area is theirs, and the centre of each pixel lies half a pixel
inside or outside, so that every program that fills it by pixel centres gets the mask back. A hole is joined with the
contour around it by a channel of width zero ("keyhole"), which runs between two rows of pixel centres: the only way to
store holes that every reader of RTSTRUCT understands.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: Corner of a pixel: column and row, in pixels from the outer corner of the first pixel.
Corner = tuple[int, int]

#: Steps along the edges of a pixel, in the order of right turns as rows run downwards.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def plane_contours(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """Return the closed contours of a mask in a plane, holes included.

    Args:
        mask: (columns, rows); pixels that touch at a corner only belong to separate contours.
    Returns:
        (N, 2) column and row of the vertices of each contour, in pixels; the centre of the first pixel is (0, 0). The
        first vertex is not repeated.

    >>> ring = np.ones((3, 3), bool); ring[1, 1] = False
    >>> (contour,) = plane_contours(ring)
    >>> len(contour), float(contour.min()), float(contour.max())
    (10, -0.5, 2.5)
    """
    parts, count = ndimage.label(mask)
    contours = []
    for number, box in enumerate(ndimage.find_objects(parts, count), start=1):
        loops = _loops(parts[box] == number)
        outer = max(loops, key=_signed_area)
        holes = sorted((loop for loop in loops if loop is not outer), key=min)
        for hole in holes:
            outer = _with_keyhole(outer, hole)
        start = np.array([side.start for side in box], dtype=np.float64)
        contours.append(np.array(_without_straight_corners(outer), dtype=np.float64) + start - 0.5)
    return contours


def _loops(part: npt.NDArray[np.bool_]) -> list[list[Corner]]:
    """Return the closed paths along the border of a connected part; the outer one has a positive area, holes negative.

    Each path visits every corner on its way, one pixel apart, with the part on its right as rows run downwards.
    """
    edges = _directed_edges(part)
    loops = []
    while edges:
        start = min(edges)
        heading = min(edges[start])
        corner, loop = start, []
        while True:
            loop.append(corner)
            edges[corner].remove(heading)
            if not edges[corner]:
                del edges[corner]
            step = _STEPS[heading]
            corner = (corner[0] + step[0], corner[1] + step[1])
            if corner == start:
                break
            # Where two pixels touch at a corner, turning towards the part keeps to its own pixel.
            heading = next(turn % 4 for turn in (heading + 1, heading, heading + 3) if turn % 4 in edges[corner])
        loops.append(loop)
    return loops


def _directed_edges(part: npt.NDArray[np.bool_]) -> dict[Corner, set[int]]:
    """Return, for each corner, the directions of the edges that begin there."""
    padded = np.pad(part, 1)
    inside = padded[1:-1, 1:-1]
    edges: dict[Corner, set[int]] = defaultdict(set)
    # Above a pixel to the right, right of it downwards, below it to the left, left of it upwards.
    beside = (padded[1:-1, :-2], padded[2:, 1:-1], padded[1:-1, 2:], padded[:-2, 1:-1])
    begins = ((0, 0), (1, 0), (1, 1), (0, 1))
    for heading, (other, (right, down)) in enumerate(zip(beside, begins, strict=True)):
        for column, row in np.argwhere(inside & ~other).tolist():
            edges[column + right, row + down].add(heading)
    return dict(edges)


def _signed_area(loop: list[Corner]) -> float:
    """Return the area in a path, positive where it keeps the area on its right as rows run downwards."""
    corners = np.array(loop, dtype=np.float64)
    following = np.roll(corners, -1, axis=0)
    return float((corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum() / 2)


def _with_keyhole(outer: list[Corner], hole: list[Corner]) -> list[Corner]:
    """Return one path around a part and its hole.

    From the leftmost corner of the hole the channel runs to the left, between two rows, to the nearest corner of the
    path. Holes further left have been joined before, so that the channel meets no other.
    """
    start = min(hole)
    known = {corner: place for place, corner in enumerate(outer)}
    column, row = start
    channel = [start]
    while (column, row) not in known:
        column -= 1
        channel.append((column, row))
    at = known[column, row]
    turn = hole.index(start)
    around = hole[turn:] + hole[:turn]
    return [*outer[: at + 1], *reversed(channel[:-1]), *around[1:], *channel, *outer[at + 1 :]]


def _without_straight_corners(path: list[Corner]) -> list[Corner]:
    """Return a path without the corners that lie on a straight way; turns back, as at keyholes, stay."""
    corners = np.array(path)
    before = corners - np.roll(corners, 1, axis=0)
    after = np.roll(corners, -1, axis=0) - corners
    kept = np.any(before != after, axis=1)
    return [(int(column), int(row)) for column, row in corners[kept]]
