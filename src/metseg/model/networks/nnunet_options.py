"""Strides and kernels per axis, as in nnU-Net's plans, for volumes of thick slices.

A volume of 0.5 x 0.5 x 5 mm is first halved in plane, and convolved across slices only at levels where slices and
pixels are equally far apart (Isensee et al. 2021, arXiv:1809.10486, Supplementary Note 2). `metseg.experiment.plan`
computes the numbers.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from metseg.errors import UsageError
from metseg.recipe import Frozen

Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(min_length=2, max_length=3)]
Kernel = Annotated[tuple[Literal[1, 3, 5, 7], ...], Field(min_length=2, max_length=3)]
#: Multiples of 8 for the processors' sake and group normalisation.
WideChannels = Annotated[tuple[Annotated[int, Field(gt=0, multiple_of=8)], ...], Field(min_length=3)]


class PlannedOptions(Frozen):
    """Options of networks whose levels may differ by axis."""

    #: Feature channels of the levels, the finest first, each a multiple of 8.
    channels: WideChannels = (32, 64, 128, 256, 320)
    #: Per level, the finest first, by how much each axis is smaller than on the level before; the first level's are 1.
    #: None: every level but the first halves every axis.
    strides: tuple[Steps, ...] | None = None
    #: Per level, the sides of the convolutions; None: 3 everywhere.
    kernels: tuple[Kernel, ...] | None = None

    @model_validator(mode="after")
    def _one_entry_per_level(self) -> Self:
        for name, entries in (("strides", self.strides), ("kernels", self.kernels)):
            if entries is not None and len(entries) != len(self.channels):
                raise ValueError(f"{len(entries)} {name} for {len(self.channels)} levels")
            if entries is not None and len({len(entry) for entry in entries}) > 1:
                raise ValueError(f"the entries of {name} must all have the same number of axes")
        if self.strides is not None and set(self.strides[0]) != {1}:
            raise ValueError(f"the strides of the finest level must be 1, not {self.strides[0]}")
        return self

    def strides_in(self, dimensions: int) -> tuple[tuple[int, ...], ...]:
        """Return the strides of each level along each of so many axes.

        Raises:
            UsageError: the options are for another number of axes.
        """
        halving = ((1,) * dimensions, *(((2,) * dimensions,) * (len(self.channels) - 1)))
        return _checked("strides", halving if self.strides is None else self.strides, dimensions)

    def kernels_in(self, dimensions: int) -> tuple[tuple[int, ...], ...]:
        """Return the kernels of each level along each of so many axes; see `strides_in`."""
        threes = ((3,) * dimensions,) * len(self.channels)
        return _checked("kernels", threes if self.kernels is None else self.kernels, dimensions)


def divisor_of_strides(options: PlannedOptions) -> int | tuple[int, ...]:
    """Return what the sides of the input must be a multiple of: the product of the strides along each axis."""
    if options.strides is None:
        return int(2 ** (len(options.channels) - 1))
    return tuple(math.prod(steps) for steps in zip(*options.strides, strict=True))


def _checked(name: str, entries: tuple[tuple[int, ...], ...], dimensions: int) -> tuple[tuple[int, ...], ...]:
    if len(entries[0]) != dimensions:
        raise UsageError(
            f"{name} and data have different numbers of axes",
            where="model options",
            expected=f"{dimensions} numbers per level",
            got=entries[0],
            cure="give as many numbers as the data have axes",
            code="usage.dimensions",
        )
    return entries
