"""The voxels of every lesion, lesion by lesion: what is measured of a lesion comes from these, not from the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.measure.boxes import Box

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VoxelGroups:
    """The voxels of lesions 1..L, none of which is empty.

    Args:
        positions: (N, 3) voxel indices, those of a lesion one after the other.
        starts: (L + 1,) where in ``positions`` each lesion begins, and N.
    """

    positions: Integers
    starts: Integers

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> Integers:
        """Return the number of voxels of each lesion, (L,)."""
        return np.diff(self.starts)

    @cached_property
    def _corners(self) -> tuple[Integers, Integers]:
        """Return the lowest and the highest index of each lesion, (L, 3) both."""
        if not len(self):
            return np.zeros((0, 3), dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
        low, high = (choose.reduceat(self.positions, self.starts[:-1], axis=0) for choose in (np.minimum, np.maximum))
        return low, high

    @cached_property
    def boxes(self) -> list[Box]:
        """Return the bounding box of each lesion, L of them."""
        return [
            tuple(slice(int(first), int(last) + 1) for first, last in zip(*ends, strict=True))
            for ends in zip(*self._corners, strict=True)
        ]

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """Return the centre of mass of each lesion, (L, 3) voxel indices."""
        low, _ = self._corners
        counts = self.counts[:, np.newaxis]
        sums = np.add.reduceat(self.positions, self.starts[:-1], axis=0) if len(self) else low
        return np.asarray((sums - low * counts) / counts + low, dtype=np.float64)

    def masks(self) -> Iterator[Mask]:
        """Return where in its box each lesion is, one after the other."""
        return (self.mask([number], box) for number, box in enumerate(self.boxes, start=1))

    def mask(self, numbers: Iterable[int], box: Box) -> Mask:
        """Return where in a box that holds them these lesions are."""
        low = [side.start for side in box]
        mask = np.zeros([side.stop - side.start for side in box], dtype=bool)
        for number in numbers:
            mask[tuple((self.positions[self.starts[number - 1] : self.starts[number]] - low).T)] = True
        return mask


def voxel_groups(voxels: tuple[Integers, ...], numbers: npt.NDArray[np.integer], count: int) -> VoxelGroups:
    """Return the voxels of lesions lesion by lesion.

    Args:
        voxels: three arrays, (N,) each, of the voxels' indices.
        numbers: (N,) of the lesion of each, 1..count, every one of them there.
        count: of lesions.
    Raises:
        ValueError: a lesion has no voxel.

    >>> x = y = z = np.array([0, 1, 3])
    >>> groups = voxel_groups((x, y, z), np.array([2, 1, 1]), 2)
    >>> groups.counts.tolist(), groups.boxes[1]
    ([2, 1], (slice(0, 1, None), slice(0, 1, None), slice(0, 1, None)))
    """
    sizes = np.bincount(numbers, minlength=count + 1)[1:]
    if not sizes.all():
        raise ValueError("instances have to be numbered 1..N without gaps")
    # Numbers in the smallest type are sorted digit by digit, in one or two passes.
    order = np.argsort(numbers.astype(np.min_scalar_type(count)), kind="stable")
    return VoxelGroups(np.column_stack([axis[order] for axis in voxels]), np.concatenate([[0], np.cumsum(sizes)]))
