"""Test-time augmentation: the mirror images that a prediction is averaged over."""

from __future__ import annotations

import itertools

from metseg.errors import UsageError
from metseg.recipe import Recipe
from metseg.recipe.flip_axes import flipped_axes


def mirror_axes(recipe: Recipe) -> list[tuple[int, ...]]:
    """Return the sets of tensor axes (N, C, X, Y[, Z]) to mirror along: none, each, and all combinations.

    Only what training mirrored: a head upside down is new to a network that never saw one, and worsens the average.

    Raises:
        UsageError: training mirrored nothing.
    """
    axes = [2 + axis for axis in flipped_axes(recipe.augment)]
    if not axes:
        raise UsageError(
            "test-time augmentation needs a network that was trained with flips",
            where=f"recipe {recipe.name}",
            expected="a step 'flip' under [[augment]]",
            cure="predict with --no-tta, or train with flips",
            code="usage.recipe",
        )
    return [chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count)]
