"""Intensity augmentations: they change the image and leave the mask unchanged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from metseg import random_fields
from metseg.dataset.augmentation_options import (
    BiasField,
    Blur,
    Brightness,
    Contrast,
    Gamma,
    LowResolution,
    MissingSequence,
    Noise,
)
from metseg.dataset.spatial_map import Rng


def _per_modality(image: Tensor, values: np.ndarray) -> Tensor:
    """Return (C,) values shaped to broadcast over (C, X, Y[, Z])."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).reshape(-1, *[1] * (image.ndim - 1))


def _deviation(image: Tensor) -> Tensor:
    """Return the standard deviation of each modality, shaped to broadcast; 0 for a single voxel."""
    return image.flatten(1).std(dim=1, correction=0).reshape(-1, *[1] * (image.ndim - 1))


def brightness(image: Tensor, options: Brightness, rng: Rng) -> Tensor:
    offset = _per_modality(image, rng.uniform(-options.share, options.share, image.shape[0]))
    return image + offset * _deviation(image)


def contrast(image: Tensor, options: Contrast, rng: Rng) -> Tensor:
    factor = _per_modality(image, rng.uniform(options.low, options.high, image.shape[0]))
    flat = image.flatten(1)
    shape = (-1, *[1] * (image.ndim - 1))
    mean, low, high = (value.reshape(shape) for value in (flat.mean(1), flat.amin(1), flat.amax(1)))
    return torch.clamp((image - mean) * factor + mean, low, high)


def gamma(image: Tensor, options: Gamma, rng: Rng) -> Tensor:
    exponent = _per_modality(image, rng.uniform(options.low, options.high, image.shape[0]))
    flat = image.flatten(1)
    shape = (-1, *[1] * (image.ndim - 1))
    low, high = flat.amin(1).reshape(shape), flat.amax(1).reshape(shape)
    span = torch.clamp(high - low, min=1e-6)
    return ((image - low) / span).clamp(0, 1) ** exponent * span + low


def noise(image: Tensor, options: Noise, rng: Rng) -> Tensor:
    sigma = _per_modality(image, rng.uniform(0, options.share, image.shape[0])) * _deviation(image)
    return image + sigma * torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))


def blur(image: Tensor, options: Blur, rng: Rng) -> Tensor:
    sigmas = rng.uniform(options.low_voxels, options.high_voxels, image.shape[0])
    modalities = zip(image.numpy(), sigmas, strict=True)
    # scipy's separable filter: torch's convolution takes ten times as long on a single channel.
    blurred = [ndimage.gaussian_filter(modality, sigma, mode="nearest") for modality, sigma in modalities]
    return torch.from_numpy(np.stack(blurred))


def bias_field(image: Tensor, options: BiasField, rng: Rng) -> Tensor:
    drifted = []
    for modality in image:
        strength = rng.uniform(0, options.strength)
        drift = random_fields.bias_field(
            tuple(modality.shape), strength=strength, scale_voxels=options.scale_voxels, rng=rng
        )
        # A coil multiplies the signal above the background, which is the minimum after any normalisation; but around a
        # brain that was z-scored separately it is 0, amid the values of tissue, and stays 0.
        nothing = modality.amin()
        drifted.append(((modality - nothing) * torch.from_numpy(drift) + nothing).where(modality != 0, modality))
    return torch.stack(drifted)


def low_resolution(image: Tensor, options: LowResolution, rng: Rng) -> Tensor:
    coarse = []
    for modality in image:
        if options.each < 1 and rng.random() >= options.each:
            coarse.append(modality)
            continue
        axis = int(rng.integers(modality.ndim))
        thick = torch.from_numpy(thick_slices(modality.shape[axis], rng.uniform(options.low, options.high)))
        coarse.append((modality.movedim(axis, -1) @ thick.T).movedim(-1, axis))
    return torch.stack(coarse)


def thick_slices(size: int, factor: float) -> npt.NDArray[np.float32]:
    """Return what thick slices make of a row of voxels: the mean over each slab, then linear between their centres.

    Args:
        size: voxels of the row.
        factor: voxels of a slab; rounded so that a whole number of equal slabs fills the row.
    Returns:
        (size, size) float32, to be multiplied with the row; every row of it sums to 1.

    >>> thick_slices(4, 2.0) @ np.array([0.0, 2.0, 4.0, 8.0], dtype=np.float32)
    array([1.  , 2.25, 4.75, 6.  ], dtype=float32)
    """
    slabs = max(1, round(size / factor))
    borders = np.linspace(0, size, slabs + 1)[:, None]
    voxels = np.arange(size)
    within = np.clip(np.minimum(borders[1:], voxels + 1) - np.maximum(borders[:-1], voxels), 0, None)
    means = within / within.sum(axis=1, keepdims=True)
    place = np.clip((voxels + 0.5) * slabs / size - 0.5, 0, slabs - 1)
    # A tent over each slab's centre: what linear interpolation weighs it with.
    tents = np.clip(1 - np.abs(place[:, None] - np.arange(slabs)), 0, None)
    return np.asarray(tents @ means, dtype=np.float32)


def missing_sequence(image: Tensor, options: MissingSequence, rng: Rng) -> Tensor:
    others = [channel for channel in range(image.shape[0]) if channel != options.reference]
    # The bits of a number from 1 to 2**n - 1 are the subsets of n, the empty one left out.
    chosen = int(rng.integers(1, 2 ** len(others)))
    hidden = [channel for bit, channel in enumerate(others) if chosen >> bit & 1]
    shown = image.clone()
    shown[hidden] = image[options.reference] if options.fill == "copy" else 0.0
    return shown
