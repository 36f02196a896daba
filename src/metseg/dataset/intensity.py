"""Intensity augmentations: image in, image out, each modality with a draw of its own; the mask is not concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from metseg.dataset.occasional import Occasional, Probability

if TYPE_CHECKING:
    from metseg.dataset.augment import Rng


class Brightness(Occasional):
    """Add up to this share of the modality's standard deviation, either way."""

    probability: Probability = 0.3
    share: float = 0.2


class Contrast(Occasional):
    """Stretch about the mean by a factor between these, keeping the original range."""

    probability: Probability = 0.3
    low: float = 0.75
    high: float = 1.25


class Gamma(Occasional):
    """Gamma curve on the modality's own range, exponent between these."""

    probability: Probability = 0.3
    low: float = 0.7
    high: float = 1.5


class Noise(Occasional):
    """Gaussian noise of up to this share of the modality's standard deviation."""

    probability: Probability = 0.2
    share: float = 0.1


class Blur(Occasional):
    """Gaussian blur with a standard deviation between these, in voxels."""

    probability: Probability = 0.1
    low_voxels: float = 0.5
    high_voxels: float = 1.0


def _per_modality(image: Tensor, values: np.ndarray) -> Tensor:
    """Return (C,) values shaped to broadcast over (C, X, Y[, Z])."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).reshape(-1, *[1] * (image.ndim - 1))


def _deviation(image: Tensor) -> Tensor:
    return image.flatten(1).std(dim=1).reshape(-1, *[1] * (image.ndim - 1))


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
    sigma = rng.uniform(options.low_voxels, options.high_voxels)
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in range(1, image.ndim):
        image = _convolve_along(image, kernel, axis)
    return image


def _convolve_along(image: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Return the image convolved with a (2R+1,) kernel along one axis, edges continued."""
    lines = image.movedim(axis, -1)
    shape = lines.shape
    radius = len(kernel) // 2
    padded = torch.nn.functional.pad(lines.reshape(-1, 1, shape[-1]), (radius, radius), mode="replicate")
    return torch.nn.functional.conv1d(padded, kernel[None, None]).reshape(shape).movedim(-1, axis)
