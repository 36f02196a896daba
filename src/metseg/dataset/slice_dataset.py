"""Slices from the cache as tensors, with augmentation for training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from metseg.dataset.augmentation import Augmenter
from metseg.dataset.samples import Sample
from metseg.dataset.sampling_plan import Draw, random_generator
from metseg.labels import LabelScheme
from metseg.preprocess.adjacent_slices import with_neighbours
from metseg.preprocess.cache import Cache, CaseEntry
from metseg.recipe import DataPart

__all__ = ["SliceDataset", "SliceItem", "training_slices", "with_neighbours"]


class SliceItem(NamedTuple):
    """One slice of one cached case."""

    case: int
    z: int


class SliceDataset(Dataset[Sample]):
    """Slices by number (validation, no augmentation) or by `Draw` (training).

    Args:
        cache: the preprocessed cases; every one of them has labels.
        items: which slices.
        scheme: turns class ids into consecutive indices.
        augmenter: applied to draws; the random numbers follow from (seed, epoch, position).
        seed: of the recipe.
        neighbours: slices on each side that come along as channels, in the order of `with_neighbours`.
    """

    def __init__(
        self,
        cache: Cache,
        items: Sequence[SliceItem],
        *,
        scheme: LabelScheme,
        augmenter: Augmenter | None = None,
        seed: int = 0,
        neighbours: int = 0,
    ) -> None:
        self._cache = cache
        self.items = tuple(items)
        self._scheme = scheme
        self._augmenter = augmenter
        self._seed = seed
        self._neighbours = neighbours

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, which: Draw | int) -> Sample:
        number = which.item if isinstance(which, Draw) else which
        item = self.items[number]
        pixels, ids = self._cache.read_slice(item.case, item.z, self._neighbours)
        image = torch.from_numpy(np.asarray(pixels, dtype=np.float32))
        labels = torch.from_numpy(self._scheme.to_indices(ids))
        if self._augmenter is not None and isinstance(which, Draw):
            rng = random_generator(self._seed, which.epoch, which.position)
            image, labels = self._augmenter(image, labels, rng)
        return Sample(image, labels, item.case)

    def shapes(self) -> list[tuple[int, ...]]:
        """Return (X, Y) of each slice."""
        return [self._cache.entries[item.case].grid[:2] for item in self.items]

    def largest_shape(self) -> tuple[int, int, int]:
        """Return (C, X, Y): what every slice of the set fits into."""
        shapes = [self._cache.entries[item.case].shape for item in self.items]
        channels = max(s[0] for s in shapes) * (2 * self._neighbours + 1)
        return channels, max(s[1] for s in shapes), max(s[2] for s in shapes)

    def has_lesion(self) -> npt.NDArray[np.bool_]:
        """Return (N,) bool: which of the slices hold lesion, from the cache's records alone."""
        with_lesion = {case: set(self._cache.entries[case].lesion_slices) for case in {i.case for i in self.items}}
        return np.asarray([item.z in with_lesion[item.case] for item in self.items], dtype=bool)


def training_slices(entry: CaseEntry, data: DataPart) -> Iterable[int]:
    """Return which slices of a case the recipe trains on: those in its range, and with brain only where it says so."""
    first, stop = data.slice_range or (0, entry.slices)
    chosen = range(entry.slices)[first:stop]
    if not data.with_brain or entry.head_slices is None:
        return chosen
    return [z for z in entry.head_slices if z in chosen]
