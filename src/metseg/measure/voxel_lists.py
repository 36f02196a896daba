"""Lists of voxels per lesion, from which lesions are measured without access to the whole image."""

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
    """The voxels of lesions 1..L, each with at least one voxel.

    Args:
        positions: (N, 3) voxel indices, grouped by lesion.
        starts: (L + 1,) index of the first voxel of each lesion in ``positions``, and N.
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
        """Yield the mask of each lesion in its box."""
        return (self.mask([number], box) for number, box in enumerate(self.boxes, start=1))

    def mask(self, numbers: Iterable[int], box: Box) -> Mask:
        """Return the mask of some lesions in a box that contains them."""
        low = [side.start for side in box]
        mask = np.zeros([side.stop - side.start for side in box], dtype=bool)
        for number in numbers:
            mask[tuple((self.positions[self.starts[number - 1] : self.starts[number]] - low).T)] = True
        return mask


def voxel_groups(voxels: tuple[Integers, ...], numbers: npt.NDArray[np.integer], count: int) -> VoxelGroups:
    """Group voxels by lesion.

    Args:
        voxels: three arrays, (N,) each, of the voxels' indices.
        numbers: (N,) lesion of each voxel, 1..count, without gaps.
        count: number of lesions.
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
    # Small integer types use radix sort with one or two passes.
    order = np.argsort(numbers.astype(np.min_scalar_type(count)), kind="stable")
    return VoxelGroups(np.column_stack([axis[order] for axis in voxels]), np.concatenate([[0], np.cumsum(sizes)]))
