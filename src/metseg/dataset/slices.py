"""Slices out of the cache as tensors, augmented when they are for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from metseg.dataset.augment import Augmenter
from metseg.dataset.sampling import Draw, random_generator
from metseg.labels import LabelScheme
from metseg.preprocess.cache import Cache


class SliceItem(NamedTuple):
    """One slice of one cached case."""

    case: int
    z: int


class Sample(NamedTuple):
    """One slice: image (C, X, Y) float32, labels (X, Y) uint8 class indices, and the case it is of."""

    image: Tensor
    labels: Tensor
    case: int


class Batch(NamedTuple):
    """Several slices: image (N, C, X, Y) float32, labels (N, X, Y) uint8 class indices, case (N,) int64."""

    image: Tensor
    labels: Tensor
    case: Tensor


class SliceDataset(Dataset[Sample]):
    """Slices by number (validation, no augmentation) or by `Draw` (training).

    Args:
        cache: the preprocessed cases; every one of them has labels.
        items: which slices.
        scheme: turns class ids into consecutive indices.
        augmenter: applied to draws; the random numbers follow from (seed, epoch, position).
        seed: of the recipe.
    """

    def __init__(
        self,
        cache: Cache,
        items: Sequence[SliceItem],
        *,
        scheme: LabelScheme,
        augmenter: Augmenter | None = None,
        seed: int = 0,
    ) -> None:
        self._cache = cache
        self.items = tuple(items)
        self._scheme = scheme
        self._augmenter = augmenter
        self._seed = seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, which: Draw | int) -> Sample:
        number = which.item if isinstance(which, Draw) else which
        item = self.items[number]
        pixels, ids = self._cache.read_slice(item.case, item.z)
        image = torch.from_numpy(np.asarray(pixels, dtype=np.float32))
        labels = torch.from_numpy(self._scheme.to_indices(ids))
        if self._augmenter is not None and isinstance(which, Draw):
            rng = random_generator(self._seed, which.epoch, which.position)
            image, labels = self._augmenter(image, labels, rng)
        return Sample(image, labels, item.case)

    def largest_shape(self) -> tuple[int, int, int]:
        """Return (C, X, Y): what every slice of the set fits into."""
        shapes = [self._cache.entries[item.case].shape for item in self.items]
        return max(s[0] for s in shapes), max(s[1] for s in shapes), max(s[2] for s in shapes)

    def has_lesion(self) -> npt.NDArray[np.bool_]:
        """Return (N,) bool: which of the slices hold lesion, from the cache's records alone."""
        with_lesion = [set(entry.lesion_slices) for entry in self._cache.entries]
        return np.asarray([item.z in with_lesion[item.case] for item in self.items], dtype=bool)


def collate(samples: Sequence[Sample]) -> Batch:
    """Return samples as one batch; smaller ones are padded at the end with their own edge values, background labels.

    Sizes differ only where a recipe neither resizes nor crops; the network itself takes any size.
    """
    size = [max(sample.labels.shape[axis] for sample in samples) for axis in range(samples[0].labels.ndim)]
    grown = [_grow(sample, size) for sample in samples]
    return Batch(
        torch.stack([sample.image for sample in grown]),
        torch.stack([sample.labels for sample in grown]),
        torch.tensor([sample.case for sample in grown]),
    )


def _grow(sample: Sample, size: Sequence[int]) -> Sample:
    missing = [wanted - have for wanted, have in zip(size, sample.labels.shape, strict=True)]
    if not any(missing):
        return sample
    after = [amount for gap in reversed(missing) for amount in (0, gap)]
    return Sample(pad(sample.image[None], after, mode="replicate")[0], pad(sample.labels, after), sample.case)
