"""Lesions in masks: which pixel or voxel belongs to which, and what would be found at another threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
_ndimage: Any = ndimage


@dataclass(frozen=True)
class Instances:
    """Which element of a mask belongs to which lesion.

    Args:
        pieces: the mask's shape; 0 nothing, else the number of a connected piece.
        numbers: for each piece from 1 on the number of its lesion.
    """

    pieces: npt.NDArray[np.int32]
    numbers: tuple[int, ...]

    def at(self, point: Sequence[int]) -> int | None:
        """Return the number of the lesion at a point; None where there is none."""
        piece = int(self.pieces[tuple(point)])
        return self.numbers[piece - 1] if piece else None

    def pieces_of(self, number: int) -> list[int]:
        """Return the pieces that are one lesion together."""
        return [piece for piece, lesion in enumerate(self.numbers, start=1) if lesion == number]

    def mask_of(self, number: int) -> Mask:
        """Return where a lesion is."""
        return np.isin(self.pieces, self.pieces_of(number))


@dataclass(frozen=True)
class Burden:
    """What a mask amounts to.

    Args:
        lesions: connected pieces.
        elements: voxels or pixels.
        volume_ml: None where a voxel has no size.
    """

    lesions: int
    elements: int
    volume_ml: float | None


def connected_pieces(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Return the connected pieces of a mask, touching at corners counts, and how many there are."""
    pieces, count = _ndimage.label(mask, structure=np.ones((3,) * mask.ndim), output=np.int32)
    return pieces, int(count)


def number_instances(mask: Mask, centres: Mapping[int, Sequence[float]]) -> Instances:
    """Return which piece of a mask is which lesion of the table: the one whose middle is nearest to the piece's.

    The service may count pieces close together as one lesion; these then have the same number.

    Args:
        mask: of the result.
        centres: of the lesions, in elements of the mask, by number.
    """
    pieces, count = connected_pieces(mask)
    if not count or not centres:
        return Instances(np.zeros_like(pieces), ())
    numbers = np.array(list(centres))
    places = np.array([list(centre)[: mask.ndim] for centre in centres.values()], dtype=np.float64)
    middles = np.array(_ndimage.center_of_mass(mask, pieces, range(1, count + 1)), dtype=np.float64)
    distances = ((middles[:, None, :] - places[None, :, :]) ** 2).sum(axis=-1)
    return Instances(pieces, tuple(int(number) for number in numbers[distances.argmin(axis=1)]))


def lesion_burden(mask: Mask, voxel_ml: float | None) -> Burden:
    """Return what a mask amounts to; only the part of it that is not empty is looked at."""
    elements = int(np.count_nonzero(mask))
    if not elements:
        return Burden(0, 0, None if voxel_ml is None else 0.0)
    box = _ndimage.find_objects(mask.astype(np.uint8))[0]
    _, lesions = connected_pieces(mask[box])
    return Burden(lesions, elements, None if voxel_ml is None else elements * voxel_ml)


def counts_above(probability: npt.NDArray[np.uint16], *, steps: int = 100) -> npt.NDArray[np.int64]:
    """Return how many elements have at least each probability, for thresholds 1/steps, 2/steps, ... below 1.

    Args:
        probability: 0 to 65535.
        steps: how finely.
    """
    histogram = np.bincount(probability.reshape(-1), minlength=65536)
    at_least = histogram[::-1].cumsum()[::-1]
    # Rounding must not lift a threshold above the very probability that it names.
    edges = np.ceil(np.arange(1, steps) / steps * 65535 - 1e-6).astype(int)
    return np.asarray(at_least[edges], dtype=np.int64)
