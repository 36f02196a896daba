"""Bring every slice to one size without resampling: edges are added or cut off, equally on both sides."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metseg.preprocess.cropping import move_to_window, put_back_by
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, size_text
from metseg.recipe import Frozen
from metseg.volume import Array

Pixels = Annotated[int, Field(gt=0)]


class Options(Frozen):
    #: Columns, rows and, for volumes, slices of the result.
    size: tuple[Pixels, Pixels] | tuple[Pixels, Pixels, Pixels]


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Cut or pad about the centre; where an axis is odd by one, the extra voxel is at its end.

    Added voxels get the smallest value of their channel, label 0.

    Raises:
        UsageError: three sizes for a stack of pictures: its slices have names.
    """
    size = (*options.size, prepared.grid[2])[:3]
    start = tuple((extent - wanted) // 2 for extent, wanted in zip(prepared.grid, size, strict=True))
    return move_to_window(prepared, "pad_or_crop", start=start, size=size)


def invert(array: Array, record: Record) -> Array:
    """Put labels or probabilities back where they were; what was cut off is 0."""
    return put_back_by(array, record)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    return f"The images were padded or cropped from {size_text(record['shape'])} to {size_text(record['size'])} voxels."
