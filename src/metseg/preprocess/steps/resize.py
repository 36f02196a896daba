"""Resample every slice to one size. The third axis does not change."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from metseg.geometry import stepped_affine
from metseg.preprocess.interpolation import strongest_class
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, size_text
from metseg.recipe import Frozen
from metseg.volume import Array

Pixels = Annotated[int, Field(gt=0)]
Float32 = npt.NDArray[np.float32]


class Options(Frozen):
    #: Columns and rows of the result.
    size: tuple[Pixels, Pixels]


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Resample images linearly (by area where they shrink), labels class by class, the strongest class winning.

    Classes that vanish because they are smaller than the new pixels are warned of.
    """
    before = prepared.grid
    labels: Array | None = None
    warnings: tuple[str, ...] = ()
    if prepared.labels is not None:
        labels = resize_labels(prepared.labels, options.size)
        warnings = _vanished(prepared.labels, labels)
    head = None if prepared.head is None else resize_values(prepared.head, options.size) >= 0.5
    return prepared.after(
        Record("resize", {"from": list(before[:2]), "size": list(options.size)}),
        image=resize_values(prepared.image, options.size),
        labels=labels,
        head=head,
        affine=rescaled(prepared.affine, before[:2], options.size),
        warnings=warnings,
    )


def invert(array: Array, record: Record) -> Array:
    """Resample labels (X, Y, Z) or probabilities (K, X, Y, Z) to the size before."""
    columns, rows = record.details["from"]
    if array.dtype.kind == "f":
        return resize_values(array, (columns, rows)).astype(array.dtype, copy=False)
    return resize_labels(array, (columns, rows))


def interpolates(record: Record) -> bool:
    """Return whether `invert` mixes pixels."""
    return list(record.details["from"]) != list(record.details["size"])


def resize_values(array: Array, size: tuple[int, int]) -> Float32:
    """Return (..., X, Y, Z) as float32 (..., *size, Z); pixel areas, not pixel centres, keep their corners."""
    import cv2

    *leading, x, y, z = array.shape
    out = np.empty((*leading, *size, z), dtype=np.float32)
    shrinks = size[0] <= x and size[1] <= y
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    for index in np.ndindex(*leading):
        for k in range(z):
            # OpenCV takes our first axis for the rows: its size argument is (second axis, first axis).
            plane = np.ascontiguousarray(array[index][:, :, k], dtype=np.float32)
            out[index][:, :, k] = cv2.resize(plane, (size[1], size[0]), interpolation=method)
    return out


def resize_labels(labels: Array, size: tuple[int, int]) -> Array:
    """Return (X, Y, Z) class ids on the new size; each pixel the class with the largest share of it."""
    if labels.shape[:2] == tuple(size):
        return labels
    return strongest_class(labels, lambda mask: resize_values(mask, size))


def rescaled(
    affine: npt.NDArray[np.float64] | None, before: tuple[int, int], after: tuple[int, int]
) -> npt.NDArray[np.float64] | None:
    """Return the affine after resizing: voxel ``i`` lies at ``(i + 1/2) before / after - 1/2`` of the old grid."""
    if affine is None:
        return None
    step = np.array([before[0] / after[0], before[1] / after[1], 1.0])
    return stepped_affine(affine, step=step.tolist(), start=(step / 2 - 0.5).tolist())


def _vanished(before: Array, after: Array) -> tuple[str, ...]:
    lost = []
    for value in np.unique(before)[1:] if before.size else ():
        had, has = (before == value).any((0, 1)), (after == value).any((0, 1))
        slices = np.flatnonzero(had & ~has)
        if slices.size:
            lost.append(f"resize: label {value} vanished from {slices.size} slice(s), first {slices[0]}")
    return tuple(lost)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    return f"Each picture was resized from {size_text(record['from'])} to {size_text(record['size'])} pixels."
