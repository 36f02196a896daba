"""Augmentation of images and masks together, in two and three dimensions by the same code.

A recipe lists steps; each is an entry of `augmentation_table.AUGMENTATIONS`. Spatial steps add to one map from output
to input coordinates and are applied in a single interpolation, so that several of them blur no more than one. Masks
are resampled by nearest neighbour and stay integers. All randomness comes from the given generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from metseg.dataset.augmentation_table import check_augmentations
from metseg.dataset.spatial_map import Rng, SpatialMap
from metseg.recipe import Named, Recipe
from metseg.registry import resolve_function


class Augmenter:
    """The augmentation of a recipe, ready to run.

    Args:
        steps: what the recipe lists under ``[[augment]]``.
        dimensions: 2 for slices, 3 for volumes.
        channels: how many modalities the images have.
        neighbours: slices on each side that come along as channels (`metseg.preprocess.adjacent_slices`): to the
            intensity steps, the slices of one modality are one thin volume, brighter, noisier or missing as a whole.
    Raises:
        UsageError: an unknown step or option, or an axis or a modality that the images do not have.
    """

    def __init__(self, steps: Sequence[Named], *, dimensions: int, channels: int = 1, neighbours: int = 0) -> None:
        self._slices = 2 * neighbours + 1
        self._steps = [
            (
                None if spec.change_map is None else resolve_function(spec.change_map),
                None if spec.change_image is None else resolve_function(spec.change_image),
                parsed,
            )
            for spec, parsed in check_augmentations(steps, dimensions=dimensions, channels=channels)
        ]

    @classmethod
    def of(cls, recipe: Recipe) -> Augmenter:
        """Return the augmentation of a recipe; raises as the constructor does."""
        data = recipe.data
        return cls(recipe.augment, dimensions=data.dimensions, channels=len(recipe.seen), neighbours=data.neighbours)

    def __call__(self, image: Tensor, labels: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """Return the image and its mask, both changed by the same draw.

        Args:
            image: (C, X, Y[, Z]) float32.
            labels: (X, Y[, Z]) uint8.
            rng: every random number is drawn from this, those of `draw_map` first, then those of `change_intensities`.
        """
        image, labels = apply_map(image, labels, self.draw_map(tuple(labels.shape), rng))
        return self.change_intensities(image, rng), labels

    def draw_map(self, shape: tuple[int, ...], rng: Rng) -> SpatialMap:
        """Return where the voxels of an image of this shape are to come from, for `apply_map`."""
        spatial_map = SpatialMap(shape)
        for change_map, _, options in self._steps:
            if change_map is not None and rng.random() < options.probability:
                change_map(spatial_map, options, rng)
        return spatial_map

    def change_intensities(self, image: Tensor, rng: Rng) -> Tensor:
        """Return the image (C, X, Y[, Z]) with other intensities at the same places."""
        if self._slices > 1:
            image = image.reshape(self._slices, -1, *image.shape[1:]).movedim(0, -1)
        for _, change_image, options in self._steps:
            if change_image is not None and rng.random() < options.probability:
                image = change_image(image, options, rng)
        return image.movedim(-1, 0).flatten(0, 1) if self._slices > 1 else image


def apply_map(
    image: Tensor, labels: Tensor, spatial_map: SpatialMap, *, origin: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Carry a spatial map out: linear for the image, nearest for the labels, flips exactly.

    Beyond the border the edge continues, in the labels too: what is drawn out of a lesion is still labelled so.

    Args:
        image: (C, X, Y[, Z]) float32; larger than the map's shape where more was read, such as its `reach`, smaller
            where there is no more.
        labels: (X, Y[, Z]) uint8, as large as the image.
        spatial_map: from output to input.
        origin: where in the image voxel (0, 0[, 0]) of the map's input is; None: in its corner.
    Returns:
        image and labels of the map's shape.
    """
    origin = origin or (0,) * labels.ndim
    if spatial_map.interpolates:
        grid = _sampling_grid(spatial_map, labels.shape, origin)
        image = grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
        moved = grid_sample(labels[None, None].float(), grid, mode="nearest", padding_mode="border", align_corners=True)
        labels = moved[0, 0].to(torch.uint8)
    elif tuple(labels.shape) != spatial_map.shape:
        image, labels = _cut_out(image, labels, spatial_map.shape, origin)
    if spatial_map.flipped:
        image = image.flip([axis + 1 for axis in spatial_map.flipped])
        labels = labels.flip(list(spatial_map.flipped))
    return image, labels


def _cut_out(image: Tensor, labels: Tensor, shape: Sequence[int], origin: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return what lies at ``origin``, the edge continued where there is no more."""
    for axis, (size, first) in enumerate(zip(shape, origin, strict=True)):
        wanted = torch.arange(first, first + size).clamp(0, labels.shape[axis] - 1)
        image, labels = image.index_select(axis + 1, wanted), labels.index_select(axis, wanted)
    return image, labels


def _sampling_grid(spatial_map: SpatialMap, source: Sequence[int], origin: Sequence[int]) -> Tensor:
    """Return (1, X, Y[, Z], D) positions in ``source`` as `grid_sample` wants them: in [-1, 1], last axis first."""
    shape = spatial_map.shape
    centre = (np.asarray(shape) - 1) / 2
    middle = (np.asarray(source) - 1) / 2
    axes = [torch.arange(size, dtype=torch.float32) - float(half) for size, half in zip(shape, centre, strict=True)]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    positions = positions @ torch.from_numpy(spatial_map.matrix.T.astype(np.float32))
    positions += torch.from_numpy((spatial_map.shift_voxels + centre + origin - middle).astype(np.float32))
    if spatial_map.displacement is not None:
        positions += torch.from_numpy(spatial_map.displacement).movedim(0, -1)
    return (positions / torch.from_numpy(np.maximum(middle, 0.5).astype(np.float32))).flip(-1)[None]
