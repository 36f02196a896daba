"""Spatial augmentations: each adds to the map from output to input coordinates (`SpatialMap`)."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from metseg.dataset.augmentation_options import FactorRange, Probability, RandomOptions
from metseg.dataset.spatial_map import Rng, SpatialMap
from metseg.errors import UsageError
from metseg.random_fields import elastic_displacement
from metseg.recipe.flip_axes import FlipAxes


class Rotate(RandomOptions):
    """Rotation by up to this angle either way; in 3D about each axis in turn."""

    probability: Probability = 0.5
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0


class Shift(RandomOptions):
    """Translation by up to this share of the size along each axis."""

    probability: Probability = 0.5
    share: Annotated[float, Field(ge=0, le=1)] = 0.1


class Shear(RandomOptions):
    """Shear by up to this angle in each plane."""

    probability: Probability = 0.5
    degrees: Annotated[float, Field(ge=0, le=60)] = 5.0


class Zoom(FactorRange):
    """Magnification between these factors, the same along every axis."""

    probability: Probability = 0.5
    low: Annotated[float, Field(gt=0)] = 0.9
    high: Annotated[float, Field(gt=0)] = 1.1


class Flip(RandomOptions, FlipAxes):
    """Mirror along each of these axes, each with the probability given. Axis 0 is left-right in RAS."""

    probability: Probability = 1.0
    axis_probability: Probability = 0.5


class Elastic(RandomOptions):
    """Smooth random displacement (Simard et al. 2003)."""

    probability: Probability = 0.2
    amplitude_voxels: Annotated[float, Field(ge=0)] = 4.0
    scale_voxels: Annotated[float, Field(gt=0)] = 32.0


def rotate(spatial_map: SpatialMap, options: Rotate, rng: Rng) -> None:
    dimensions = len(spatial_map.shape)
    for first, second in combinations(range(dimensions), 2):
        angle = np.deg2rad(rng.uniform(-options.degrees, options.degrees))
        turn = np.eye(dimensions)
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        spatial_map.matrix = spatial_map.matrix @ turn


def shift(spatial_map: SpatialMap, options: Shift, rng: Rng) -> None:
    spatial_map.shift_voxels += rng.uniform(-options.share, options.share, len(spatial_map.shape)) * spatial_map.shape


def shear(spatial_map: SpatialMap, options: Shear, rng: Rng) -> None:
    dimensions = len(spatial_map.shape)
    for first, second in combinations(range(dimensions), 2):
        slant = np.eye(dimensions)
        slant[first, second] = np.tan(np.deg2rad(rng.uniform(-options.degrees, options.degrees)))
        spatial_map.matrix = spatial_map.matrix @ slant


def zoom(spatial_map: SpatialMap, options: Zoom, rng: Rng) -> None:
    # The map leads from output to input: magnifying by f means reading 1/f of the way from the centre.
    spatial_map.matrix = spatial_map.matrix / rng.uniform(options.low, options.high)


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


def flip(spatial_map: SpatialMap, options: Flip, rng: Rng) -> None:
    for axis in options.axes:
        if rng.random() < options.axis_probability:
            spatial_map.flipped ^= {axis}


def elastic(spatial_map: SpatialMap, options: Elastic, rng: Rng) -> None:
    displacement = elastic_displacement(
        spatial_map.shape, amplitude_voxels=options.amplitude_voxels, scale_voxels=options.scale_voxels, rng=rng
    )
    earlier = spatial_map.displacement
    spatial_map.displacement = displacement if earlier is None else earlier + displacement
