"""Options of every augmentation. They do not import torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from metseg.errors import UsageError
from metseg.preprocess.missing_sequences import SequenceFill
from metseg.recipe import Frozen
from metseg.recipe.flip_axes import FlipAxes

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0)]


class RandomOptions(Frozen):
    """Options of a step that is applied to some of the items only."""

    #: Probability that a training item is changed by this step.
    probability: Probability


class FactorRange(RandomOptions):
    """Options of a step that draws a positive factor or exponent between two."""

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Rotate(RandomOptions):
    """Rotation by up to this angle either way; in 3D about each axis in turn."""

    probability: Probability = 0.5
    #: Largest angle, in degrees; the angle is drawn uniformly between minus and plus this.
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0


class Shift(RandomOptions):
    """Translation by up to this share of the size along each axis."""

    probability: Probability = 0.5
    #: Largest translation, as a share of the size along each axis.
    share: Annotated[float, Field(ge=0, le=1)] = 0.1


class Shear(RandomOptions):
    """Shear by up to this angle in each plane."""

    probability: Probability = 0.5
    #: Largest angle of the shear, in degrees.
    degrees: Annotated[float, Field(ge=0, le=60)] = 5.0


class Zoom(FactorRange):
    """Magnification between these factors, the same along every axis."""

    probability: Probability = 0.5
    #: Smallest magnification; below 1 makes the head smaller.
    low: Annotated[float, Field(gt=0)] = 0.9
    #: Largest magnification.
    high: Annotated[float, Field(gt=0)] = 1.1


class Flip(RandomOptions, FlipAxes):
    """Mirror along each of these axes, each with the probability given. Axis 0 is left-right in RAS."""

    probability: Probability = 1.0
    #: Probability of mirroring an axis, independently for each axis.
    axis_probability: Probability = 0.5


class Elastic(RandomOptions):
    """Smooth random displacement (Simard et al. 2003)."""

    probability: Probability = 0.2
    #: Standard deviation of the displacement, in voxels.
    amplitude_voxels: Annotated[float, Field(ge=0)] = 4.0
    #: Distance over which the displacement changes, in voxels.
    scale_voxels: Annotated[float, Field(gt=0)] = 32.0


class Brightness(RandomOptions):
    """Add up to this share of the modality's standard deviation, either way."""

    probability: Probability = 0.3
    #: Largest change, as a share of the sequence's standard deviation.
    share: Share = 0.2


class Contrast(FactorRange):
    """Stretch about the mean by a factor between these, keeping the original range."""

    probability: Probability = 0.3
    #: Smallest factor; below 1 lowers the contrast.
    low: Annotated[float, Field(gt=0)] = 0.75
    #: Largest factor.
    high: Annotated[float, Field(gt=0)] = 1.25


class Gamma(FactorRange):
    """Gamma curve on the modality's own range, exponent between these."""

    probability: Probability = 0.3
    #: Smallest exponent; below 1 brightens.
    low: Annotated[float, Field(gt=0)] = 0.7
    #: Largest exponent; above 1 darkens.
    high: Annotated[float, Field(gt=0)] = 1.5


class Noise(RandomOptions):
    """Gaussian noise of up to this share of the modality's standard deviation."""

    probability: Probability = 0.2
    #: Largest standard deviation of the noise, as a share of the sequence's standard deviation.
    share: Share = 0.1


class Blur(RandomOptions):
    """Gaussian blur with a standard deviation between these, in voxels."""

    probability: Probability = 0.1
    #: Smallest standard deviation of the blur, in voxels.
    low_voxels: Annotated[float, Field(gt=0)] = 0.5
    #: Largest standard deviation of the blur, in voxels.
    high_voxels: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low_voxels > self.high_voxels:
            raise ValueError(f"low_voxels {self.low_voxels} is above high_voxels {self.high_voxels}")
        return self


class BiasField(RandomOptions):
    """The slow drift of a receive coil, of up to this strength (standard deviation of its logarithm).

    List it before steps that change all values, because it recognises air by its value: 0 or the minimum.
    """

    probability: Probability = 0.2
    #: Largest standard deviation of the logarithm of the drift.
    strength: Share = 0.3
    #: Distance over which the drift changes, in voxels.
    scale_voxels: Annotated[float, Field(gt=0)] = 64.0


class LowResolution(FactorRange):
    """Slices between these factors thicker along one axis, and back to the old grid by linear interpolation."""

    probability: Probability = 0.1
    #: Smallest thickness of the slices, in voxels of the image.
    low: Annotated[float, Field(ge=1)] = 1.5
    #: Largest thickness of the slices, in voxels of the image.
    high: Annotated[float, Field(ge=1)] = 4.0
    #: Probability that a sequence is made coarse; the others stay sharp, as in clinical studies
    #: with thin and thick slices.
    each: Probability = 1.0


class MissingSequence(SequenceFill, RandomOptions):
    """Hide a random subset of the sequences, all equally likely, so that the network also works without them.

    ``copy`` replaces them by the reference, as picture sets do (a grey picture saved in colour is three copies of one
    sequence); ``zero`` replaces them by 0, the mean after a z-score. List it last, so that a copy is exact.
    """

    probability: Probability = 0.2


def check_flip(options: Flip, *, dimensions: int, channels: int) -> None:  # noqa: ARG001 (the same for all)
    """Refuse to mirror along an axis that the images do not have."""
    if any(axis >= dimensions for axis in options.axes):
        raise UsageError(
            f"no axis {max(options.axes)} to flip in {dimensions}D images",
            where="options of 'flip'",
            expected=f"axes below {dimensions}",
            got=list(options.axes),
            cure="leave that axis out",
            code="usage.recipe",
        )


def check_missing_sequence(options: MissingSequence, *, dimensions: int, channels: int) -> None:  # noqa: ARG001
    """Refuse a reference beyond the sequences, and images of a single sequence."""
    if options.reference >= channels or channels == 1:
        raise UsageError(
            "'missing_sequence' needs a reference and at least one other sequence",
            where="augment",
            expected=f"reference below {channels}, and 2 or more inputs",
            got=f"reference {options.reference}, {channels} inputs",
            cure="leave the step out, or name more under data.modalities",
            code="usage.recipe",
        )
