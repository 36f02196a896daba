"""Cut away the empty surroundings of the head: one window for all slices of a case, so that they stay aligned."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from metseg.preprocess.cropping import move_to_window, put_back_by
from metseg.preprocess.normalization_scope import tissue
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, size_text
from metseg.recipe import Frozen
from metseg.volume import Array

Voxels = Annotated[int, Field(ge=0)]


class Options(Frozen):
    #: Voxels kept around the head on each side; 0: none.
    margin: Voxels = 0
    #: Make columns and rows equal by adding to the shorter, so that a resize after it keeps proportions.
    square: bool = False
    #: Round each size up to a multiple of this.
    multiple: Annotated[int, Field(gt=0)] = 1
    #: in_plane: columns and rows; all: slices too, for volumes.
    axes: Literal["in_plane", "all"] = "in_plane"


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Cut out the bounding box of all tissue of the case; where the box leaves the image, it is padded.

    An image without tissue stays whole and is warned of. Labels outside the box are lost, and warned of.

    Raises:
        UsageError: ``axes = "all"`` for a stack of pictures: its slices have names.
    """
    head = tissue(prepared)
    start, size = head_window(head, options)
    cropped = move_to_window(prepared, "crop_to_head", start=start, size=size)
    warnings = [] if head.any() else ["crop_to_head: no tissue found, the images stay whole"]
    if prepared.labels is not None and cropped.labels is not None:
        lost = int(np.count_nonzero(prepared.labels) - np.count_nonzero(cropped.labels))
        warnings += [f"crop_to_head: {lost} labelled voxel(s) lie outside the head and were cut off"] if lost else []
    return cropped.warned(warnings)


def head_window(head: npt.NDArray[np.bool_], options: Options) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return start and size of the window around the True voxels of an (X, Y, Z) mask."""
    bounds = []
    for axis, extent in enumerate(head.shape):
        cut = head.any() and (axis < 2 or options.axes == "all")
        there = np.flatnonzero(head.any(tuple(other for other in range(3) if other != axis))) if cut else None
        low, high = (0, extent) if there is None else (int(there[0]), int(there[-1]) + 1)
        bounds.append((low - options.margin, high + options.margin) if cut else (low, high))
    sizes = [high - low for low, high in bounds]
    wanted = [max(sizes[:2])] * 2 + sizes[2:] if options.square else sizes
    moved = slice(0, 3 if options.axes == "all" else 2)
    wanted[moved] = [-(-size // options.multiple) * options.multiple for size in wanted[moved]]
    start = [low - (size - old) // 2 for (low, _), size, old in zip(bounds, wanted, sizes, strict=True)]
    return tuple(start), tuple(wanted)


def invert(array: Array, record: Record) -> Array:
    """Put labels or probabilities back where they were; what was cut off is 0."""
    return put_back_by(array, record)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    return (
        f"A window of {size_text(record['size'])} around the head was cut out of {size_text(record['shape'])} voxels; "
        "outside it, nothing is marked."
    )
