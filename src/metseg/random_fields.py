"""Smooth random fields, and bias, noise and elastic displacement made from them, on numpy arrays.

The phantom and the augmentation share these functions. All work in any number of dimensions and draw every random
number from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Number = TypeVar("Number", bound="np.number[Any]")


def cubic_weights(size: int, scale: float) -> FloatArray:
    """Return the weights that turn a coarse row of random numbers into a fine, smooth one of unit variance.

    Row ``i`` holds the four uniform cubic B-spline weights of the fine point ``i`` at the coarse coordinate
    ``i / scale``, divided by their Euclidean length: a sum of independent unit normals weighted so is again a unit
    normal, at every point and not only on average.

    Args:
        size: fine points.
        scale: distance of the coarse nodes in fine points, > 0.
    Returns:
        (size, nodes) float32; every row has Euclidean length 1 and at most four entries that are not 0.

    >>> cubic_weights(3, 2.0).shape
    (3, 5)
    >>> np.round(np.linalg.norm(cubic_weights(50, 7.5), axis=1), 5).min()
    np.float32(1.0)
    """
    position = np.arange(size) / scale
    node = np.floor(position).astype(int)
    t = position - node
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    matrix = np.zeros((size, int(node[-1]) + 4), dtype=np.float32)
    np.put_along_axis(matrix, node[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    return matrix


def smooth_field(
    shape: Sequence[int], *, scale_voxels: float | Sequence[float], rng: np.random.Generator
) -> FloatArray:
    """Return a smooth Gaussian random field: unit normals on a coarse grid, cubic B-spline between them.

    Each voxel is exactly N(0, 1) over the draws; voxels further apart than four scales are independent. Separable:
    one small matrix product per axis, so that a whole head takes a few hundredths of a second.

    Args:
        shape: of the result, any number of axes.
        scale_voxels: distance of the coarse nodes in voxels, one number or one per axis.
        rng: where the random numbers come from.
    Returns:
        ``shape`` float32, C-contiguous.
    Raises:
        ValueError: a scale that is not positive, or not one per axis.

    >>> smooth_field((4, 6), scale_voxels=2.0, rng=np.random.default_rng(0)).shape
    (4, 6)
    """
    scales = np.broadcast_to(np.asarray(scale_voxels, dtype=float), (len(shape),))
    if (scales <= 0).any():
        raise ValueError(f"scale_voxels must be positive, got {scale_voxels}")
    matrices = [cubic_weights(size, float(scale)) for size, scale in zip(shape, scales, strict=True)]
    field = rng.standard_normal([matrix.shape[1] for matrix in matrices], dtype=np.float32)
    for matrix in matrices:
        # The first axis is contracted and its fine version appended: after all axes the order is the old one again.
        field = np.tensordot(field, matrix, axes=(0, 1))
    return np.ascontiguousarray(field)


def bias_field(
    shape: Sequence[int], *, strength: float, scale_voxels: float | Sequence[float], rng: np.random.Generator
) -> FloatArray:
    r"""Return the slow intensity drift of a receive coil: ``b = exp(strength * f) / mean(exp(strength * f))``.

    Args:
        shape: of the result.
        strength: standard deviation of log b, such as 0.1 for drifts of about ten per cent.
        scale_voxels: distance of the coarse nodes of the smooth field ``f``.
        rng: where the random numbers come from.
    Returns:
        ``shape`` float32, positive, mean 1: to be multiplied with an image.

    >>> b = bias_field((16, 16), strength=0.2, scale_voxels=8.0, rng=np.random.default_rng(0))
    >>> bool((b > 0).all()), round(float(b.mean()), 3)
    (True, 1.0)
    """
    field = np.exp(np.float32(strength) * smooth_field(shape, scale_voxels=scale_voxels, rng=rng))
    return np.asarray(field / field.mean(dtype=np.float64), dtype=np.float32)


def rician_noise(image: npt.NDArray[np.floating], sigma: float, rng: np.random.Generator) -> FloatArray:
    """Return the magnitude of the image with complex Gaussian noise: ``sqrt((s + n1)^2 + n2^2)``.

    Args:
        image: any shape, not negative.
        sigma: standard deviation of each of the two noise parts, in the image's unit.
        rng: where the random numbers come from.
    Returns:
        The image's shape, float32, not negative. Where s = 0 its mean is ``sigma * sqrt(pi / 2)`` (Rayleigh); for
        s >> sigma it is ``s + sigma^2 / (2 s)``.

    >>> rician_noise(np.full(2, 7.0), 0.0, np.random.default_rng(0))
    array([7., 7.], dtype=float32)
    """
    real = rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = rng.standard_normal(image.shape, dtype=np.float32)
    real *= np.float32(sigma)
    imaginary *= np.float32(sigma)
    real += image.astype(np.float32, copy=False)
    real *= real
    imaginary *= imaginary
    real += imaginary
    return np.asarray(np.sqrt(real, out=real), dtype=np.float32)


def elastic_displacement(
    shape: Sequence[int], *, amplitude_voxels: float, scale_voxels: float, rng: np.random.Generator
) -> FloatArray:
    """Return a smooth random displacement for every voxel.

    The map ``x + u(x)`` folds nowhere as long as the amplitude stays well under the scale: the slope of ``u`` has
    a standard deviation of about ``amplitude / scale``, so keep that ratio at 0.2 or less.

    Args:
        shape: of the image, D axes.
        amplitude_voxels: standard deviation of each component of the displacement.
        scale_voxels: distance of the coarse nodes.
        rng: where the random numbers come from.
    Returns:
        (D, \\*shape) float32, in voxels along each axis.

    >>> elastic_displacement((8, 9), amplitude_voxels=1.0, scale_voxels=4.0, rng=np.random.default_rng(0)).shape
    (2, 8, 9)
    """
    return np.stack(
        [np.float32(amplitude_voxels) * smooth_field(shape, scale_voxels=scale_voxels, rng=rng) for _ in shape]
    )
