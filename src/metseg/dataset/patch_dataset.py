"""Patches of volumes for 3D networks: on lesions, all equally likely regardless of size, or anywhere in the head.

The place of a patch and its augmentation depend only on (seed, epoch, position) and the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from metseg.dataset.augmentation import Augmenter, apply_map
from metseg.dataset.samples import Sample
from metseg.dataset.sampling_plan import Draw, random_generator
from metseg.labels import LabelScheme
from metseg.preprocess.cache import Cache
from metseg.preprocess.cache.cache_arrays import Extent

Place = tuple[int, int, int]
Rng = np.random.Generator

#: How far from the middle of its patch a lesion's voxel may lie, as a share of the patch: a network that always saw
#: lesions in the middle would look for them there; at the border, augmentation might push them out.
OFF_CENTRE = 0.25


class PatchItem(NamedTuple):
    """What a patch is drawn around: one lesion of one cached case, by number; or None, anything in its head."""

    case: int
    lesion: int | None


def patch_items(cache: Cache, cases: Iterable[int], *, lesion_share: float | None) -> list[PatchItem]:
    """Return every lesion and every case as an item, for a `BatchPlan` that takes its share of each kind.

    Every lesion is an item: each is drawn equally often, regardless of how many other lesions its case has.

    Args:
        cache: the preprocessed cases.
        cases: which of them, by number.
        lesion_share: None: no patch is placed on a lesion on purpose.
    """
    chosen = list(cases)
    anywhere = [PatchItem(case, None) for case in chosen]
    if lesion_share is None:
        return anywhere
    lesions = [PatchItem(case, lesion) for case in chosen for lesion in range(len(cache.entries[case].lesion_boxes))]
    return lesions + anywhere


class PatchDataset(Dataset[Sample]):
    """Patches of one size, by `Draw`.

    What spatial augmentation turns or pushes into a patch is read from around it: the border is repeated only where
    the volume ends, and voxels are interpolated once.

    Args:
        cache: the preprocessed cases; every one of them has labels.
        items: what to draw around; see `patch_items`.
        patch_size: (X, Y, Z) voxels; where it is larger than a volume, the volume's edge is repeated, as elsewhere.
        scheme: turns class ids into consecutive indices.
        augmenter: applied to every patch.
        seed: of the recipe.
    """

    def __init__(
        self,
        cache: Cache,
        items: Sequence[PatchItem],
        *,
        patch_size: Sequence[int],
        scheme: LabelScheme,
        augmenter: Augmenter,
        seed: int = 0,
    ) -> None:
        self._cache = cache
        self.items = tuple(items)
        x, y, z = patch_size
        self._size: Place = x, y, z
        self._scheme = scheme
        self._augmenter = augmenter
        self._seed = seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, which: Draw) -> Sample:
        item = self.items[which.item]
        rng = random_generator(self._seed, which.epoch, which.position)
        start = self._place(item, rng)
        spatial_map = self._augmenter.draw_map(self._size, rng)
        extent = reachable(start, spatial_map.reach(), self._cache.entries[item.case].grid)
        image, labels = read_tensors(self._cache, item.case, extent, self._scheme)
        origin = [first - low for first, (low, _) in zip(start, extent, strict=True)]
        image, labels = apply_map(image, labels, spatial_map, origin=origin)
        return Sample(self._augmenter.change_intensities(image, rng), labels, item.case)

    def has_lesion(self) -> npt.NDArray[np.bool_]:
        """Return (N,) bool: which of the items are lesions."""
        return np.asarray([item.lesion is not None for item in self.items], dtype=bool)

    def largest_shape(self) -> tuple[int, int, int, int]:
        """Return (C, X, Y, Z) of every patch."""
        channels = max(self._cache.entries[case].shape[0] for case in {item.case for item in self.items})
        return channels, *self._size

    def _place(self, item: PatchItem, rng: Rng) -> Place:
        """Return the first voxel of the patch; it is below 0 only where the volume is smaller than the patch."""
        entry = self._cache.entries[item.case]
        if item.lesion is None:
            ranges = [
                start_range(low, stop, size) for (low, stop), size in zip(entry.head_extent, self._size, strict=True)
            ]
            start = [int(rng.integers(first, last + 1)) for first, last in ranges]
        else:
            voxel = self._lesion_voxel(item.case, entry.lesion_boxes[item.lesion], rng)
            reach = [int(OFF_CENTRE * size) for size in self._size]
            offset = [int(rng.integers(-most, most + 1)) for most in reach]
            start = [v - size // 2 + o for v, size, o in zip(voxel, self._size, offset, strict=True)]
        limits = [start_range(0, extent, size) for extent, size in zip(entry.grid, self._size, strict=True)]
        x, y, z = (min(max(value, first), last) for value, (first, last) in zip(start, limits, strict=True))
        return x, y, z

    def _lesion_voxel(self, case: int, box: Extent, rng: Rng) -> tuple[int, ...]:
        """Return a labelled voxel within a lesion's box, each as likely, so that large lesions are seen all over."""
        labelled = np.argwhere(self._cache.read_box_labels(case, box))
        found = labelled[rng.integers(len(labelled))]
        return tuple(int(value) + first for value, (first, _) in zip(found, box, strict=True))


def start_range(first: int, stop: int, size: int) -> tuple[int, int]:
    """Return the first and last start of a stretch of ``size`` within ``first .. stop``, or around it if longer.

    >>> start_range(10, 50, 30), start_range(10, 50, 60)
    ((10, 20), (-10, 10))
    """
    return min(first, stop - size), max(first, stop - size)


def reachable(start: Place, reach: Sequence[tuple[int, int]], grid: Place) -> Extent:
    """Return what of a volume a patch at ``start`` is made of: its map's reach, as far as there are voxels."""
    x, y, z = (
        _within(first + low, first + stop, size) for first, (low, stop), size in zip(start, reach, grid, strict=True)
    )
    return x, y, z


def _within(low: int, stop: int, size: int) -> tuple[int, int]:
    """Return the part of ``low .. stop`` within ``0 .. size``, or the nearest voxel if there is none."""
    first = min(max(low, 0), size - 1)
    return first, max(min(stop, size), first + 1)


def read_tensors(cache: Cache, case: int, extent: Extent, scheme: LabelScheme) -> tuple[Tensor, Tensor]:
    """Return a box of a case: image (C, x, y, z) float32 and labels (x, y, z) uint8 class indices."""
    voxels, ids = cache.read_box(case, extent)
    return torch.from_numpy(np.asarray(voxels, dtype=np.float32)), torch.from_numpy(scheme.to_indices(ids))
