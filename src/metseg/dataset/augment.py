"""Augmentation of images and masks together, in two and three dimensions by the same code.

A recipe lists steps; each is one line in `AUGMENTATIONS`. Spatial steps add to one map from output to input
coordinates and are carried out in a single interpolation, so that several of them blur no more than one.
Masks are looked up by nearest neighbour and stay integers. All randomness comes from the generator given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from metseg.dataset import intensity, spatial
from metseg.dataset.occasional import Occasional
from metseg.recipe import Named, Recipe
from metseg.tables import lookup

Rng = np.random.Generator


@dataclass
class SpatialMap:
    """From output to input voxels: ``x_in = matrix @ (x_out - centre) + centre + shift + displacement(x_out)``.

    Each further step is what happens to the result of the earlier ones, so it multiplies the matrix from the right.
    What is flipped is mirrored after all that.
    """

    shape: tuple[int, ...]
    matrix: npt.NDArray[np.float64] = field(init=False)
    shift_voxels: npt.NDArray[np.float64] = field(init=False)
    displacement: npt.NDArray[np.float32] | None = None
    flipped: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.matrix = np.eye(len(self.shape))
        self.shift_voxels = np.zeros(len(self.shape))

    @property
    def interpolates(self) -> bool:
        return (
            self.displacement is not None
            or bool(self.shift_voxels.any())
            or not np.array_equal(self.matrix, np.eye(len(self.shape)))
        )


@dataclass(frozen=True)
class AugmentationSpec:
    """One augmentation: its options, and what it does either to the spatial map or to the intensities.

    ``check(options, dimensions=, channels=)``, where there is one, refuses options that make no sense for such images.
    """

    options: type[Occasional]
    change_map: Callable[[SpatialMap, Any, Rng], None] | None = None
    change_image: Callable[[Tensor, Any, Rng], Tensor] | None = None
    check: Callable[..., None] | None = None


AUGMENTATIONS: Mapping[str, AugmentationSpec] = {
    "rotate": AugmentationSpec(spatial.Rotate, change_map=spatial.rotate),
    "shift": AugmentationSpec(spatial.Shift, change_map=spatial.shift),
    "shear": AugmentationSpec(spatial.Shear, change_map=spatial.shear),
    "zoom": AugmentationSpec(spatial.Zoom, change_map=spatial.zoom),
    "flip": AugmentationSpec(spatial.Flip, change_map=spatial.flip, check=spatial.check_flip),
    "elastic": AugmentationSpec(spatial.Elastic, change_map=spatial.elastic),
    "brightness": AugmentationSpec(intensity.Brightness, change_image=intensity.brightness),
    "contrast": AugmentationSpec(intensity.Contrast, change_image=intensity.contrast),
    "gamma": AugmentationSpec(intensity.Gamma, change_image=intensity.gamma),
    "noise": AugmentationSpec(intensity.Noise, change_image=intensity.noise),
    "blur": AugmentationSpec(intensity.Blur, change_image=intensity.blur),
    "missing_sequence": AugmentationSpec(
        intensity.MissingSequence, change_image=intensity.missing_sequence, check=intensity.check_missing_sequence
    ),
}


class Augmenter:
    """The augmentation of a recipe, ready to run.

    Args:
        steps: what the recipe lists under ``[[augment]]``.
        dimensions: 2 for slices, 3 for volumes.
        channels: how many modalities the images have.
    Raises:
        UsageError: an unknown step or option, or an axis or a modality that the images do not have.
    """

    def __init__(self, steps: Sequence[Named], *, dimensions: int, channels: int = 1) -> None:
        self._steps = []
        for named in steps:
            spec = lookup("augmentation", AUGMENTATIONS, named.name)
            options = named.parse(spec.options)
            if spec.check is not None:
                spec.check(options, dimensions=dimensions, channels=channels)
            self._steps.append((spec, options))

    @classmethod
    def of(cls, recipe: Recipe) -> Augmenter:
        """Return the augmentation of a recipe; raises as the constructor does."""
        return cls(recipe.augment, dimensions=recipe.data.dimensions, channels=len(recipe.data.inputs))

    def __call__(self, image: Tensor, labels: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """Return the image and its mask, both changed by the same draw.

        Args:
            image: (C, X, Y[, Z]) float32.
            labels: (X, Y[, Z]) uint8.
            rng: every random number is drawn from this.
        """
        spatial_map = SpatialMap(tuple(labels.shape))
        for spec, options in self._steps:
            if spec.change_map is not None and rng.random() < options.probability:
                spec.change_map(spatial_map, options, rng)
        image, labels = apply_map(image, labels, spatial_map)
        for spec, options in self._steps:
            if spec.change_image is not None and rng.random() < options.probability:
                image = spec.change_image(image, options, rng)
        return image, labels


def apply_map(image: Tensor, labels: Tensor, spatial_map: SpatialMap) -> tuple[Tensor, Tensor]:
    """Carry a spatial map out: linear for the image, nearest for the labels, flips exactly.

    Beyond the border the edge continues, in the labels too: what is drawn out of a lesion is still labelled so.
    """
    if spatial_map.interpolates:
        grid = _sampling_grid(spatial_map)
        image = grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
        moved = grid_sample(labels[None, None].float(), grid, mode="nearest", padding_mode="border", align_corners=True)
        labels = moved[0, 0].to(torch.uint8)
    if spatial_map.flipped:
        image = image.flip([axis + 1 for axis in spatial_map.flipped])
        labels = labels.flip(list(spatial_map.flipped))
    return image, labels


def _sampling_grid(spatial_map: SpatialMap) -> Tensor:
    """Return (1, X, Y[, Z], D) input positions as `grid_sample` wants them: in [-1, 1], last array axis first."""
    shape = spatial_map.shape
    centre = (np.asarray(shape) - 1) / 2
    axes = [torch.arange(size, dtype=torch.float32) - float(middle) for size, middle in zip(shape, centre, strict=True)]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    positions = positions @ torch.from_numpy(spatial_map.matrix.T.astype(np.float32))
    positions += torch.from_numpy(spatial_map.shift_voxels.astype(np.float32))
    if spatial_map.displacement is not None:
        positions += torch.from_numpy(spatial_map.displacement).movedim(0, -1)
    half = torch.from_numpy(np.maximum(centre, 0.5).astype(np.float32))
    return (positions / half).flip(-1)[None]
