"""Interpolation: axis by axis where the new grid is parallel to the old one, and onto any other grid.

Labels are never interpolated as numbers: each class is resampled as a share of the voxel, and the largest share wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.geometry import Affine, Grid, directions, spacing_mm, voxel_map
from metseg.volume import Array, Volume

Float32 = npt.NDArray[np.float32]
#: linear never leaves the range of the values; bspline (cubic) is sharper and may overshoot at edges.
Method = Literal["linear", "bspline"]

ORDERS: Mapping[Method, Literal[1, 3]] = {"linear": 1, "bspline": 3}
#: Full width at half maximum of a Gaussian, in standard deviations.
WIDTH_PER_SIGMA = float(2 * np.sqrt(2 * np.log(2)))
#: A grid that is coarser by less than this is not averaged.
AVERAGED_FROM = 1.1
#: Voxels beyond the edge of an image by more than half of one, and this much for rounding, are outside.
EDGE_VOXELS = 1e-3


def axis_weights(size: int, count: int, *, step: float, start: float, method: Method = "linear") -> Float32:
    """Return (count, size): how much each old voxel of an axis adds to each new one, at ``start + step * i``.

    Where the axis becomes coarser, a new voxel gets the mean over its own extent of the straight lines between the old
    ones, with every method, so that nothing between two new centres is skipped. Rows sum to 1.

    >>> axis_weights(2, 3, step=0.5, start=0.0).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    if method == "bspline" and step < 1 and size > 1:
        spread = ndimage.affine_transform(
            np.eye(size), [step, 1.0], [start, 0.0], output_shape=(count, size), order=ORDERS[method], mode="nearest"
        )
        return np.asarray(spread, dtype=np.float32)
    away = np.asarray(start + step * np.arange(count)[:, None] - np.arange(size), dtype=np.float64)
    weights: npt.NDArray[np.float64]
    if step > 1:
        weights = _tent_up_to(away + step / 2) - _tent_up_to(away - step / 2)
    else:
        weights = np.clip(1 - np.abs(away), 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _tent_up_to(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the integral from minus infinity of the tent that rises from -1 to 0 and falls to 1."""
    x = np.clip(place, -1, 1)
    return np.asarray(np.where(x < 0, (1 + x) ** 2 / 2, 1 - (1 - x) ** 2 / 2), dtype=np.float64)


def along_axes(array: Array, weights: Sequence[Float32 | None]) -> Float32:
    """Return an (X, Y, Z) array with each axis multiplied by its weights; one without stays as it is."""
    out = np.ascontiguousarray(array, dtype=np.float32)
    first, second, third = weights
    if first is not None:
        out = np.tensordot(first, out, axes=1)
    if second is not None:
        out = np.matmul(second, out)
    if third is not None:
        out = np.matmul(out, third.T)
    return np.asarray(out, dtype=np.float32)


def strongest_class(labels: Array, share: Callable[[Array], Float32]) -> Array:
    """Return class ids on a new grid.

    Args:
        labels: class ids.
        share: from where a class is (bool, the shape of ``labels``) to its share of each new voxel.
    Returns:
        the class with the largest share, of the type of ``labels``; of equal ones the smallest id.
    """
    best: Float32 | None = None
    out: Array | None = None
    for value in np.unique(labels):
        of_class = share(labels == value)
        if best is None or out is None:
            best, out = of_class, np.full(of_class.shape, value, dtype=labels.dtype)
            continue
        wins = of_class > best
        best[wins], out[wins] = of_class[wins], value
    return labels if out is None else out


def onto_grid(
    source: Volume, target: Grid, *, world: Affine | None = None, method: Method = "linear", fill: float = 0.0
) -> Float32:
    """Return the values of a volume at the voxels of any other grid.

    Where the target's voxels are larger, the source is first averaged to their size, as a slice that thick would have.

    Args:
        source: with an affine.
        target: with an affine.
        world: from where a point (mm, RAS) is in the target's space to where it is in the source's; None: the same.
        method: how values between voxels come about.
        fill: the value outside the source.
    """
    assert source.affine is not None
    assert target.affine is not None
    matrix = voxel_map(source.affine, target.affine, world)
    values: Float32 = np.asarray(source.data, dtype=np.float32)
    sigmas = _averaging_sigmas(source.affine, target.affine, world)
    if any(sigmas):
        values = np.asarray(ndimage.gaussian_filter(values, sigmas, mode="nearest"), dtype=np.float32)
    out: Float32 = np.empty(target.shape, dtype=np.float32)
    order = ORDERS[method]
    ndimage.affine_transform(values, matrix[:3, :3], matrix[:3, 3], output=out, order=order, mode="nearest")
    out[~covered(source.shape, matrix, target.shape)] = fill
    return out


def labels_onto_grid(source: Volume, target: Grid, *, world: Affine | None = None) -> Array:
    """Return class ids at the voxels of any other grid, linearly class by class; 0 outside the source."""
    assert source.affine is not None
    assert target.affine is not None
    out = strongest_class(source.data, lambda mask: onto_grid(Volume(mask, source.affine), target, world=world))
    if 0 not in source.data:  # then there is no background share that could win outside
        out[~covered(source.shape, voxel_map(source.affine, target.affine, world), target.shape)] = 0
    return out


def covered(shape: Sequence[int], matrix: Affine, target: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """Return (X, Y, Z) bool: which voxels of a target have their centre within a source of ``shape``.

    Args:
        shape: of the source.
        matrix: from `voxel_map`.
        target: the shape of the target.
    """
    inside = np.ones(target, dtype=np.bool_)
    grids = np.ogrid[: target[0], : target[1], : target[2]]
    for row, extent in zip(matrix[:3], shape, strict=True):
        position = sum(np.float32(row[axis]) * grids[axis].astype(np.float32) for axis in range(3)) + np.float32(row[3])
        inside &= (position > -0.5 - EDGE_VOXELS) & (position < extent - 0.5 + EDGE_VOXELS)
    return inside


def _averaging_sigmas(source: Affine, target: Affine, world: Affine | None) -> list[float]:
    """Return, in source voxels, the Gaussian that makes each source axis as blurred as the target's nearest axis is."""
    turned = directions(target) if world is None else world[:3, :3] @ directions(target)
    cosines = np.abs(directions(source).T @ turned)
    nearest = cosines.argmax(axis=1)
    ratios = cosines.max(axis=1) * np.asarray(spacing_mm(target))[nearest] / np.asarray(spacing_mm(source))
    return [float(np.sqrt(ratio**2 - 1) / WIDTH_PER_SIGMA) if ratio > AVERAGED_FROM else 0.0 for ratio in ratios]
