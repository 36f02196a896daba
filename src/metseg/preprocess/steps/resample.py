"""Resample the voxels to one size in millimetres, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from metseg.errors import GeometryError
from metseg.geometry import centred_steps, spacing_mm, stepped_affine
from metseg.preprocess.interpolation import Float32, Method, along_axes, axis_weights, strongest_class
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details, size_text
from metseg.recipe import Frozen
from metseg.volume import Array

#: TOML knows no null: ``spacing_mm = ["keep", "keep", 1.0]``.
Millimetres = Annotated[
    Annotated[float, Field(gt=0)] | Literal["keep"], BeforeValidator(lambda value: "keep" if value is None else value)
]
#: An axis keeps its voxels unchanged if its spacing differs by less than this share.
SAME_SPACING = 1e-3


class Options(Frozen):
    #: Voxel size in mm along the array's three axes, which after `reorient` are left-right, back-front and bottom-top;
    #: keep: as it is.
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres] = (1.0, 1.0, 1.0)
    #: Interpolation of images along axes that become finer (coarser ones are averaged). linear: never leaves the range
    #: of the values; bspline (cubic): sharper, and may overshoot at edges.
    method: Method = "linear"


def apply(prepared: Prepared, options: Options) -> Prepared:
    """Resample images by the method, labels class by class linearly, the strongest class winning.

    The new grid has exactly the spacing asked for, the old one's centre and axes, and covers it whole. Classes that
    vanish, because they are smaller than the new voxels, are warned of.

    Raises:
        GeometryError: the images have no affine (``input.no_affine``).
    """
    if prepared.affine is None:
        raise GeometryError(
            "resample needs the voxel size",
            expected="an affine",
            cure="use resize or pad_or_crop for pictures",
            code="input.no_affine",
        )
    steps = _steps(spacing_mm(prepared.affine), options.spacing_mm)
    counts, starts = zip(*map(centred_steps, prepared.grid, steps), strict=True)
    record = Record(
        "resample", {"from": list(prepared.grid), "size": list(counts), "steps": steps, "start": list(starts)}
    )
    if all(step == 1 for step in steps):
        return prepared.after(record)
    linear = _weights(prepared.grid, counts, steps, starts)
    images = _weights(prepared.grid, counts, steps, starts, method=options.method)
    labels = None if prepared.labels is None else strongest_class(prepared.labels, lambda m: along_axes(m, linear))
    return prepared.after(
        record,
        image=_each(prepared.image, images),
        labels=labels,
        head=None if prepared.head is None else along_axes(prepared.head, linear) >= 0.5,
        affine=stepped_affine(prepared.affine, step=steps, start=starts),
        warnings=() if prepared.labels is None or labels is None else _vanished(prepared.labels, labels),
    )


def invert(array: Array, record: Record) -> Array:
    """Bring labels (X, Y, Z), class by class, or probabilities (K, X, Y, Z) back to the grid before, linearly."""
    sizes, counts, steps, starts = (record.details[name] for name in ("from", "size", "steps", "start"))
    if not interpolates(record):
        return array
    back = [1 / step for step in steps]
    origins = [-start / step for start, step in zip(starts, steps, strict=True)]
    weights = _weights(counts, sizes, back, origins)
    if array.dtype.kind == "f":
        return _each(array, weights).astype(array.dtype, copy=False)
    return strongest_class(array, lambda mask: along_axes(mask, weights))


def interpolates(record: Record) -> bool:
    """Return whether `invert` mixes voxels."""
    return any(step != 1 for step in record.details["steps"])


def _steps(now_mm: Sequence[float], wanted_mm: Sequence[float | Literal["keep"]]) -> list[float]:
    """Return the size of the new voxels in old ones; exactly 1 along axes that stay as they are."""
    ratios = [1.0 if wanted == "keep" else wanted / now for now, wanted in zip(now_mm, wanted_mm, strict=True)]
    return [1.0 if abs(ratio - 1) < SAME_SPACING else ratio for ratio in ratios]


def _weights(
    sizes: Sequence[int], counts: Sequence[int], steps: Sequence[float], starts: Sequence[float], **method: Any
) -> list[Float32 | None]:
    axes = zip(sizes, counts, steps, starts, strict=True)
    return [
        None if step == 1 else axis_weights(size, count, step=step, start=start, **method)
        for size, count, step, start in axes
    ]


def _each(array: Array, weights: Sequence[Float32 | None]) -> Float32:
    """Return (C, X, Y, Z) with every channel resampled, one at a time."""
    shape = [size if matrix is None else len(matrix) for size, matrix in zip(array.shape[1:], weights, strict=True)]
    out = np.empty((len(array), *shape), dtype=np.float32)
    for channel, result in zip(array, out, strict=True):
        result[...] = along_axes(channel, weights)
    return out


def _vanished(before: Array, after: Array) -> tuple[str, ...]:
    lost = np.setdiff1d(np.unique(before), np.unique(after))
    return tuple(f"resample: label {value} was lost: it is smaller than the new voxels" for value in lost)


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    if all(step == 1 for step in record["steps"]):
        return "The voxels already had the size that the network expects; nothing was resampled."
    return f"The images were resampled from {size_text(record['from'])} to {size_text(record['size'])} voxels."
