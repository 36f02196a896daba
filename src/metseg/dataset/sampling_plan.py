"""Order of the training items: it depends only on (seed, epoch), so that an epoch can be repeated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

#: Marks the stream of the shuffles, so that no shuffle shares its random numbers with a draw's augmentation.
SHUFFLE_STREAM = 1 << 31


class Draw(NamedTuple):
    """One training item of one epoch. ``position`` numbers the items of the epoch; augmentation is seeded by it."""

    item: int
    epoch: int
    position: int


def random_generator(seed: int, epoch: int, position: int) -> np.random.Generator:
    """Return the generator of one draw: the same triple gives the same numbers in every process."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, position]))


class EndlessShuffle:
    """The sequence permutation 0, permutation 1, ... of some items, addressable at any place.

    Going on in it from epoch to epoch shows every item equally often, however short the epochs are.
    """

    def __init__(self, items: npt.NDArray[np.int64], seed: Sequence[int]) -> None:
        self._items = items
        self._seed = (*seed, SHUFFLE_STREAM)

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
        lesion_share: share of the items drawn that hold lesion; None: as they come. Where it is no whole number of
            items per batch, batches differ by one item and the share is right over all of them. Where there are no
            items of one kind, the other kind fills the batch.
        seed: of the recipe.
        share: (r, R): this is process r of R that train together. A batch is R times as large, and each process gets
            every R-th item of it, so that all get as many with lesion.
    """

    def __init__(
        self,
        has_lesion: npt.NDArray[np.bool_],
        *,
        batch_size: int,
        steps: int | None,
        lesion_share: float | None,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._rank, self._world = share
        self.batch_size = batch_size * self._world
        self.steps = steps or math.ceil(len(has_lesion) / self.batch_size)
        self.epoch = 0
        one_kind = lesion_share is None or has_lesion.all() or not has_lesion.any()
        self._share = None if one_kind else Fraction(lesion_share or 0).limit_denominator(1000)
        everything = np.arange(len(has_lesion))
        self._everything = EndlessShuffle(everything, (seed, 0))
        self._with_lesion = EndlessShuffle(everything[has_lesion], (seed, 1))
        self._without_lesion = EndlessShuffle(everything[~has_lesion], (seed, 2))
        # Without a share and without a step count an epoch is one pass, and its last batch may be short; among several
        # processes it is filled up, since all must have something to do.
        one_pass = one_kind and steps is None and self._world == 1
        self._items_per_epoch = len(has_lesion) if one_pass else self.steps * self.batch_size

    @property
    def sampler(self) -> Self:
        """Return the plan itself: Lightning tells the epoch to the ``sampler`` of a batch sampler only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch = self.epoch
        for step in range(self.steps):
            first = step * self.batch_size
            size = min(self.batch_size, self._items_per_epoch - first)
            items = self._items_from(epoch * self._items_per_epoch + first, size)
            draws = [Draw(int(item), epoch, first + place) for place, item in enumerate(items)]
            yield draws[self._rank :: self._world]

    def _items_from(self, start: int, size: int) -> npt.NDArray[np.int64]:
        """Return the items ``start .. start + size - 1`` of all that were ever drawn, those with lesion first."""
        if self._share is None:
            return self._everything.take(start, size)
        before, after = math.floor(self._share * start), math.floor(self._share * (start + size))
        with_lesion = self._with_lesion.take(before, after - before)
        without = self._without_lesion.take(start - before, size - (after - before))
        return np.concatenate([with_lesion, without])


def share_out(batches: Sequence[list[int]], share: tuple[int, int]) -> tuple[list[list[int]], int]:
    """Return the batches of process r of R, and how many of them count.

    All processes go through as many, since they wait for one another at each; who has too few repeats one.

    >>> share_out([[0], [1], [2]], (1, 2))
    ([[1], [0]], 1)
    """
    rank, world = share
    own = list(batches[rank::world])
    most = math.ceil(len(batches) / world)
    return own + [batches[0]] * (most - len(own)), len(own)


def batches_of_one_shape(shapes: Sequence[tuple[int, ...]], batch_size: int) -> list[list[int]]:
    """Return the numbers of all samples in batches of equal shape, so that no sample is padded.

    Padding would be counted in a Dice as if it were image.

    >>> batches_of_one_shape([(2, 2), (3, 3), (2, 2), (2, 2)], 2)
    [[0, 2], [3], [1]]
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, shape in enumerate(shapes):
        alike.setdefault(tuple(shape), []).append(number)
    return [same[first : first + batch_size] for same in alike.values() for first in range(0, len(same), batch_size)]
