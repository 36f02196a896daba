"""Table of augmentations. It does not import torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metseg.dataset import augmentation_options as options
from metseg.dataset import spatial_augmentation
from metseg.dataset.spatial_map import Rng, SpatialMap
from metseg.errors import UsageError
from metseg.recipe import Named, Recipe, require_options_class
from metseg.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

INTENSITY = "metseg.dataset.intensity_augmentation"


@dataclass(frozen=True)
class AugmentationSpec:
    """One augmentation: its options, and a function that changes either the spatial map or the intensities.

    A function given as the text "module:function" is imported when an `Augmenter` is made, because intensities need
    torch. ``check(options, dimensions=, channels=)``, if given, raises `UsageError` for options that do not fit images
    of this kind.
    """

    options: type[options.RandomOptions]
    change_map: Callable[[SpatialMap, Any, Rng], None] | str | None = None
    change_image: Callable[[Tensor, Any, Rng], Tensor] | str | None = None
    check: Callable[..., None] | None = None

    def __post_init__(self) -> None:
        require_options_class(self.options, entry="AugmentationSpec")
        given = [name for name in ("change_map", "change_image") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UsageError(
                "an augmentation changes either the spatial map or the image",
                where="AugmentationSpec",
                expected="change_map or change_image",
                got=" and ".join(given) or "neither",
                cure="give one of the two functions",
                code="usage.entry_type",
            )


AUGMENTATIONS: Registry[AugmentationSpec] = Registry(
    "augmentation",
    "transforms.augment",
    AugmentationSpec,
    {
        "rotate": AugmentationSpec(options.Rotate, change_map=spatial_augmentation.rotate),
        "shift": AugmentationSpec(options.Shift, change_map=spatial_augmentation.shift),
        "shear": AugmentationSpec(options.Shear, change_map=spatial_augmentation.shear),
        "zoom": AugmentationSpec(options.Zoom, change_map=spatial_augmentation.zoom),
        "flip": AugmentationSpec(options.Flip, change_map=spatial_augmentation.flip, check=options.check_flip),
        "elastic": AugmentationSpec(options.Elastic, change_map=spatial_augmentation.elastic),
        "brightness": AugmentationSpec(options.Brightness, change_image=f"{INTENSITY}:brightness"),
        "contrast": AugmentationSpec(options.Contrast, change_image=f"{INTENSITY}:contrast"),
        "gamma": AugmentationSpec(options.Gamma, change_image=f"{INTENSITY}:gamma"),
        "bias_field": AugmentationSpec(options.BiasField, change_image=f"{INTENSITY}:bias_field"),
        "noise": AugmentationSpec(options.Noise, change_image=f"{INTENSITY}:noise"),
        "blur": AugmentationSpec(options.Blur, change_image=f"{INTENSITY}:blur"),
        "low_resolution": AugmentationSpec(options.LowResolution, change_image=f"{INTENSITY}:low_resolution"),
        "missing_sequence": AugmentationSpec(
            options.MissingSequence,
            change_image=f"{INTENSITY}:missing_sequence",
            check=options.check_missing_sequence,
        ),
    },
)


def check_augmentations(
    steps: Sequence[Named], *, dimensions: int, channels: int
) -> tuple[tuple[AugmentationSpec, options.RandomOptions], ...]:
    """Return the augmentation steps of a recipe, with their options checked.

    Args:
        steps: what the recipe lists under ``[[augment]]``.
        dimensions: 2 for slices, 3 for volumes.
        channels: how many modalities the images have.
    Raises:
        UsageError: an unknown step or option, or an axis or a modality that the images do not have.
    """
    checked = []
    for position, named in enumerate(steps):
        spec = AUGMENTATIONS.lookup(named.name)
        parsed = named.parse(spec.options, key=f"augment.{position}")
        if spec.check is not None:
            spec.check(parsed, dimensions=dimensions, channels=channels)
        checked.append((spec, parsed))
    return tuple(checked)


def check_augmentations_of(recipe: Recipe) -> None:
    """Check the augmentations of a recipe against its images; raises as `check_augmentations` does."""
    check_augmentations(recipe.augment, dimensions=recipe.data.dimensions, channels=len(recipe.seen))
