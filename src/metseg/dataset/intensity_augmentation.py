"""Augmentations of what the modalities show: image in, image out; the mask is not concerned."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from scipy import ndimage
from torch import Tensor

from metseg import random_fields
from metseg.dataset.augmentation_options import FactorRange, Probability, RandomOptions
from metseg.dataset.spatial_map import Rng
from metseg.errors import UsageError
from metseg.preprocess.missing_sequences import SequenceFill

Share = Annotated[float, Field(ge=0)]


class Brightness(RandomOptions):
    """Add up to this share of the modality's standard deviation, either way."""

    probability: Probability = 0.3
    share: Share = 0.2


class Contrast(FactorRange):
    """Stretch about the mean by a factor between these, keeping the original range."""

    probability: Probability = 0.3
    low: Annotated[float, Field(gt=0)] = 0.75
    high: Annotated[float, Field(gt=0)] = 1.25


class Gamma(FactorRange):
    """Gamma curve on the modality's own range, exponent between these."""

    probability: Probability = 0.3
    low: Annotated[float, Field(gt=0)] = 0.7
    high: Annotated[float, Field(gt=0)] = 1.5


class Noise(RandomOptions):
    """Gaussian noise of up to this share of the modality's standard deviation."""

    probability: Probability = 0.2
    share: Share = 0.1


class Blur(RandomOptions):
    """Gaussian blur with a standard deviation between these, in voxels."""

    probability: Probability = 0.1
    low_voxels: Annotated[float, Field(gt=0)] = 0.5
    high_voxels: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low_voxels > self.high_voxels:
            raise ValueError(f"low_voxels {self.low_voxels} is above high_voxels {self.high_voxels}")
        return self


class BiasField(RandomOptions):
    """The slow drift of a receive coil, of up to this strength (standard deviation of its logarithm).

    List it before what moves all values, so that air is still what preprocessing made of it.
    """

    probability: Probability = 0.2
    strength: Share = 0.3
    #: Distance over which the drift changes.
    scale_voxels: Annotated[float, Field(gt=0)] = 64.0


class LowResolution(FactorRange):
    """Slices between these factors thicker along one axis, and back to the old grid by linear interpolation."""

    probability: Probability = 0.1
    low: Annotated[float, Field(ge=1)] = 1.5
    high: Annotated[float, Field(ge=1)] = 4.0
    #: Probability that a sequence is made coarse; the others stay sharp, as clinical studies mix thin and thick slices.
    each: Probability = 1.0


class MissingSequence(SequenceFill, RandomOptions):
    """Hide some of the sequences, each subset of them as likely, so that the network also works without them.

    ``copy`` shows the reference in their place, as picture sets do (a grey picture saved in colour is three copies of
    one sequence); ``zero`` shows nothing, which is the mean after a z-score. List it last, so that a copy is exact.
    """

    probability: Probability = 0.2


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


def bias_field(image: Tensor, options: BiasField, rng: Rng) -> Tensor:
    drifted = []
    for modality in image:
        strength = rng.uniform(0, options.strength)
        drift = random_fields.bias_field(
            tuple(modality.shape), strength=strength, scale_voxels=options.scale_voxels, rng=rng
        )
        # A coil multiplies what there is above nothing, and nothing is the minimum, whatever normalisation made of it;
        # but around a brain that was z-scored by itself it is 0, amid the values of tissue, and stays so.
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
