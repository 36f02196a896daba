"""Augmentations of what the modalities show: image in, image out; the mask is not concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from scipy import ndimage
from torch import Tensor

from metseg.dataset.occasional import Factor, Occasional, Probability
from metseg.errors import UsageError

if TYPE_CHECKING:
    from metseg.dataset.augment import Rng

Share = Annotated[float, Field(ge=0)]


class Brightness(Occasional):
    """Add up to this share of the modality's standard deviation, either way."""

    probability: Probability = 0.3
    share: Share = 0.2


class Contrast(Factor):
    """Stretch about the mean by a factor between these, keeping the original range."""

    probability: Probability = 0.3
    low: Annotated[float, Field(gt=0)] = 0.75
    high: Annotated[float, Field(gt=0)] = 1.25


class Gamma(Factor):
    """Gamma curve on the modality's own range, exponent between these."""

    probability: Probability = 0.3
    low: Annotated[float, Field(gt=0)] = 0.7
    high: Annotated[float, Field(gt=0)] = 1.5


class Noise(Occasional):
    """Gaussian noise of up to this share of the modality's standard deviation."""

    probability: Probability = 0.2
    share: Share = 0.1


class Blur(Occasional):
    """Gaussian blur with a standard deviation between these, in voxels."""

    probability: Probability = 0.1
    low_voxels: Annotated[float, Field(gt=0)] = 0.5
    high_voxels: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low_voxels > self.high_voxels:
            raise ValueError(f"low_voxels {self.low_voxels} is above high_voxels {self.high_voxels}")
        return self


class MissingSequence(Occasional):
    """Hide some of the sequences, each subset of them as likely, so that the network also works without them.

    ``copy`` shows the reference in their place, as picture sets do (a grey picture saved in colour is three copies of
    one sequence); ``zero`` shows nothing, which is the mean after a z-score. List it last, so that a copy is exact.
    """

    probability: Probability = 0.2
    #: Position of the sequence that is never hidden, among the network's inputs.
    reference: Annotated[int, Field(ge=0)] = 0
    fill: Literal["copy", "zero"] = "copy"


def check_missing_sequence(options: MissingSequence, *, dimensions: int, channels: int) -> None:  # noqa: ARG001
    """Refuse a reference that is not there, and a single sequence, which cannot be done without."""
    if options.reference >= channels or channels == 1:
        raise UsageError(
            "'missing_sequence' needs a reference and at least one other sequence",
            where="augment",
            expected=f"reference below {channels}, and 2 or more inputs",
            got=f"reference {options.reference}, {channels} inputs",
            cure="leave the step out, or name more under data.modalities",
            code="usage.recipe",
        )


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


def missing_sequence(image: Tensor, options: MissingSequence, rng: Rng) -> Tensor:
    others = [channel for channel in range(image.shape[0]) if channel != options.reference]
    # The bits of a number from 1 to 2**n - 1 are the subsets of n, the empty one left out.
    chosen = int(rng.integers(1, 2 ** len(others)))
    hidden = [channel for bit, channel in enumerate(others) if chosen >> bit & 1]
    shown = image.clone()
    shown[hidden] = image[options.reference] if options.fill == "copy" else 0.0
    return shown
