"""Which training item comes when: a plan that follows from (seed, epoch) alone, so that an epoch can be repeated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Draw(NamedTuple):
    """One training item of one epoch. ``position`` numbers the items of the epoch; augmentation is seeded by it."""

    item: int
    epoch: int
    position: int


def random_generator(seed: int, epoch: int, position: int) -> np.random.Generator:
    """Return the generator of one draw: the same triple, the same numbers, in whatever process they are drawn."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, position]))


class EndlessShuffle:
    """The sequence permutation 0, permutation 1, ... of some items, addressable at any place.

    Going on in it from epoch to epoch shows every item equally often, however short the epochs are.
    """

    def __init__(self, items: npt.NDArray[np.int64], seed: Sequence[int]) -> None:
        self._items = items
        self._seed = tuple(seed)

    def take(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Return the elements ``start .. start + count - 1``."""
        size = len(self._items)
        rounds = range(start // size, -(-(start + count) // size))
        stretch = np.concatenate([self._permutation(number) for number in rounds]) if count else self._items[:0]
        return stretch[start % size : start % size + count]

    def _permutation(self, number: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng(np.random.SeedSequence([*self._seed, number]))
        return rng.permutation(self._items)


class BatchPlan:
    """Batches of draws, epoch after epoch; a PyTorch batch sampler.

    Args:
        has_lesion: (N,) bool; which items hold lesion.
        batch_size: items per batch.
        steps: batches per epoch; None: as many as it takes to see every item once.
        lesion_share: share of each batch with lesion, rounded to whole items; None: as they come. Where there are no
            items of one kind, the other kind fills the batch.
        seed: of the recipe.
    """

    def __init__(
        self,
        has_lesion: npt.NDArray[np.bool_],
        *,
        batch_size: int,
        steps: int | None,
        lesion_share: float | None,
        seed: int,
    ) -> None:
        self.batch_size = batch_size
        self.steps = steps or math.ceil(len(has_lesion) / batch_size)
        self.epoch = 0
        self._streams = _streams(has_lesion, batch_size, lesion_share, seed)
        # Without a share and without a step count an epoch is one pass, and its last batch may be short.
        one_pass = steps is None and len(self._streams) == 1
        self._items_per_epoch = len(has_lesion) if one_pass else self.steps * batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in range(self.steps):
            first = step * self.batch_size
            size = min(self.batch_size, self._items_per_epoch - first)
            items = self._items_from(self.epoch * self._items_per_epoch + first, size)
            yield [Draw(int(item), self.epoch, first + place) for place, item in enumerate(items)]

    def _items_from(self, start: int, size: int) -> npt.NDArray[np.int64]:
        if len(self._streams) == 1:
            return self._streams[0][0].take(start, size)
        batch = start // self.batch_size
        return np.concatenate([shuffle.take(batch * count, count) for shuffle, count in self._streams])


def _streams(
    has_lesion: npt.NDArray[np.bool_], batch_size: int, lesion_share: float | None, seed: int
) -> list[tuple[EndlessShuffle, int]]:
    """Return what each batch is filled from, and with how many items of each."""
    everything = np.arange(len(has_lesion))
    if lesion_share is None or has_lesion.all() or not has_lesion.any():
        return [(EndlessShuffle(everything, (seed, 0)), batch_size)]
    with_lesion = round(lesion_share * batch_size)
    kinds = ((everything[has_lesion], with_lesion), (everything[~has_lesion], batch_size - with_lesion))
    return [(EndlessShuffle(items, (seed, kind)), count) for kind, (items, count) in enumerate(kinds, 1) if count]
