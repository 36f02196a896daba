"""Crop a window from an array, padded beyond the edges where needed, and put it back.

A window is ``start`` and ``size`` along the last axes of an array: voxel ``i`` of the window is voxel ``start + i`` of
the array, where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import numpy as np
import numpy.typing as npt

from metseg.errors import UsageError
from metseg.geometry import stepped_affine
from metseg.preprocess.head_mask import fill_value
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.volume import Array


def take_window(array: Array, start: Sequence[int], size: Sequence[int], *, fill: npt.ArrayLike = 0) -> Array:
    """Return the window of ``size``; outside the array it holds ``fill``.

    Args:
        array: any leading axes, then as many as ``start`` has.
        start: may be negative.
        size: of the window.
        fill: one value, or one for each element of the first axis.

    >>> take_window(np.array([1, 2, 3]), [-1], [3])
    array([0, 1, 2])
    """
    leading = array.ndim - len(size)
    out = np.empty((*array.shape[:leading], *size), dtype=array.dtype)
    fill = np.asarray(fill)
    out[...] = fill.reshape(fill.shape + (1,) * (array.ndim - 1)) if fill.ndim else fill
    inside, outside = _overlap(start, size, array.shape[leading:])
    out[outside] = array[inside]
    return out


def put_back(array: Array, start: Sequence[int], shape: Sequence[int]) -> Array:
    """Return an array of zeros of ``shape`` with the window where `take_window` found it; the rest of it is lost.

    >>> put_back(np.array([9, 1, 2]), [-1], [4])
    array([1, 2, 0, 0])
    """
    leading = array.ndim - len(shape)
    out = np.zeros((*array.shape[:leading], *shape), dtype=array.dtype)
    inside, outside = _overlap(start, array.shape[leading:], shape)
    out[inside] = array[outside]
    return out


def move_to_window(prepared: Prepared, step: str, *, start: Sequence[int], size: Sequence[int]) -> Prepared:
    """Return everything of a case within a window; outside the image there is nothing, label 0 and no tissue.

    Empty voxels have the smallest value of a channel, or the 0 around a brain that was z-scored separately.

    Raises:
        UsageError: the window would add or drop slices that have names.
    """
    if prepared.slice_names and (start[2] != 0 or size[2] != prepared.grid[2]):
        raise UsageError(
            f"{step} cannot change the number of slices of a stack of pictures",
            expected=prepared.grid[2],
            got=size[2],
            cure="leave the third axis out",
        )
    image, labels, head = prepared.image, prepared.labels, prepared.head
    return prepared.after(
        Record(step, {"start": list(start), "size": list(size), "shape": list(prepared.grid)}),
        image=take_window(image, start, size, fill=[fill_value(channel) for channel in image]),
        labels=None if labels is None else take_window(labels, start, size),
        head=None if head is None else take_window(head, start, size, fill=False),
        affine=shifted(prepared.affine, start),
    )


def put_back_by(array: Array, record: Record) -> Array:
    """Undo `move_to_window` for labels (X, Y, Z) or probabilities (K, X, Y, Z).

    Where the window holds every slice, some of the slices can be put back without the others.
    """
    start, size, shape = (record.details[name] for name in ("start", "size", "shape"))
    every_slice = start[2] == 0 and size[2] == shape[2]
    return put_back(array, start, (*shape[:2], array.shape[-1]) if every_slice else shape)


def shifted(affine: npt.NDArray[np.float64] | None, start: Sequence[int]) -> npt.NDArray[np.float64] | None:
    """Return the affine of a window: same axes, origin at ``start``."""
    if affine is None:
        return None
    return stepped_affine(affine, start=start)


Index = tuple[EllipsisType | slice, ...]


def _overlap(start: Sequence[int], size: Sequence[int], shape: Sequence[int]) -> tuple[Index, Index]:
    """Return the common part as an index into the array and as an index into the window."""
    inside: list[EllipsisType | slice] = [...]
    outside: list[EllipsisType | slice] = [...]
    for first, length, extent in zip(start, size, shape, strict=True):
        low, high = min(max(first, 0), extent), max(min(first + length, extent), 0)
        high = max(low, high)
        inside.append(slice(low, high))
        outside.append(slice(low - first, high - first) if high > low else slice(0, 0))
    return tuple(inside), tuple(outside)
