"""Tiles of whole volumes for validation: each voxel of the head is in one tile, so that counts add up to the case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import NamedTuple

from torch.utils.data import Dataset

from metseg.dataset.patch_dataset import read_tensors
from metseg.dataset.samples import Sample
from metseg.labels import LabelScheme
from metseg.preprocess.cache import Cache, CaseEntry
from metseg.preprocess.cache.cache_arrays import Extent


class TileItem(NamedTuple):
    """One box of one cached case."""

    case: int
    extent: Extent


class TileDataset(Dataset[Sample]):
    """Tiles by number, always the same.

    Args:
        cache: the preprocessed cases; every one of them has labels.
        cases: which of them, by number.
        tile_size: (X, Y, Z) voxels that no tile exceeds.
        scheme: turns class ids into consecutive indices.
    """

    def __init__(self, cache: Cache, cases: Iterable[int], *, tile_size: Sequence[int], scheme: LabelScheme) -> None:
        self._cache = cache
        self._scheme = scheme
        self.items = tuple(
            TileItem(case, extent) for case in cases for extent in tiles(covered(cache.entries[case]), tile_size)
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, which: int) -> Sample:
        case, extent = self.items[which]
        return Sample(*read_tensors(self._cache, case, extent, self._scheme), case)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return (X, Y, Z) of each tile."""
        return [tuple(stop - first for first, stop in item.extent) for item in self.items]


def covered(entry: CaseEntry) -> Extent:
    """Return the box around the head and every lesion: outside of it there is air, and no prediction is made."""
    boxes = [entry.head_extent, *entry.lesion_boxes]
    x, y, z = ((min(first for first, _ in sides), max(stop for _, stop in sides)) for sides in zip(*boxes, strict=True))
    return x, y, z


def tiles(extent: Extent, size: Sequence[int]) -> list[Extent]:
    """Return boxes that fill an extent without overlap: as few as ``size`` allows, and as equal.

    >>> tiles(((0, 5), (2, 4), (0, 3)), (3, 2, 3))
    [((0, 2), (2, 4), (0, 3)), ((2, 5), (2, 4), (0, 3))]
    """
    return [(x, y, z) for x, y, z in product(*map(_pieces, extent, size))]


def _pieces(side: tuple[int, int], size: int) -> list[tuple[int, int]]:
    first, stop = side
    count = -(-(stop - first) // size)
    borders = [first + (stop - first) * number // count for number in range(count + 1)]
    return list(pairwise(borders))
