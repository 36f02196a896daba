"""Spatial augmentations: each adds to the map from output to input coordinates (`spatial_map.SpatialMap`)."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from metseg.dataset.augmentation_options import Elastic, Flip, Rotate, Shear, Shift, Zoom
from metseg.dataset.spatial_map import Rng, SpatialMap
from metseg.random_fields import elastic_displacement


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
    earlier = spatial_map.displacement
    spatial_map.displacement = displacement if earlier is None else earlier + displacement
