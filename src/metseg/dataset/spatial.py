"""Spatial augmentations: each adds to the map from output to input coordinates (`augment.SpatialMap`)."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from metseg.dataset.occasional import Occasional, Probability
from metseg.fields import elastic_displacement

if TYPE_CHECKING:
    from metseg.dataset.augment import Rng, SpatialMap


class Rotate(Occasional):
    """Rotation by up to this angle either way; in 3D about each axis in turn."""

    probability: Probability = 0.5
    degrees: float = 15.0


class Shift(Occasional):
    """Translation by up to this share of the size along each axis."""

    probability: Probability = 0.5
    share: float = 0.1


class Shear(Occasional):
    """Shear by up to this angle in each plane."""

    probability: Probability = 0.5
    degrees: float = 5.0


class Zoom(Occasional):
    """Magnification between these factors, the same along every axis."""

    probability: Probability = 0.5
    low: float = 0.9
    high: float = 1.1


class Flip(Occasional):
    """Mirror along each of these axes, each with the probability given. Axis 0 is left-right in RAS."""

    probability: Probability = 1.0
    axis_probability: Probability = 0.5
    axes: tuple[int, ...] = (0,)


class Elastic(Occasional):
    """Smooth random displacement (Simard et al. 2003)."""

    probability: Probability = 0.2
    amplitude_voxels: float = 4.0
    scale_voxels: float = 32.0


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


def flip(spatial_map: SpatialMap, options: Flip, rng: Rng) -> None:
    for axis in options.axes:
        if rng.random() < options.axis_probability:
            spatial_map.flipped ^= {axis}


def elastic(spatial_map: SpatialMap, options: Elastic, rng: Rng) -> None:
    displacement = elastic_displacement(
        spatial_map.shape, amplitude_voxels=options.amplitude_voxels, scale_voxels=options.scale_voxels, rng=rng
    )
    earlier = 0.0 if spatial_map.displacement is None else spatial_map.displacement
    spatial_map.displacement = earlier + np.asarray(displacement, dtype=np.float64)
