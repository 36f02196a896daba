"""Check a recipe's options against the inputs of its network, slices or volumes. Does not import torch."""

from __future__ import annotations

from metseg.errors import UsageError
from metseg.recipe import Recipe

#: What a recipe says of slices only.
OF_SLICES = ("slice_range", "with_brain", "neighbours")


def check_view(recipe: Recipe) -> None:
    """Refuse options that make no sense for what the network sees.

    Raises:
        UsageError: slices are chosen for a 3D network, patches or windows have not three sides, or slices are split.
    """
    data = recipe.data
    if data.dimensions == 2:
        return
    chosen = [name for name in OF_SLICES if getattr(data, name)]
    if chosen:
        raise _misfit(recipe, f"data.{chosen[0]} selects slices, but a 3D network uses volumes", "leave it out")
    for name, sides in {"train.patch_size": recipe.train.patch_size, "predict.window": recipe.predict.window}.items():
        if sides is not None and len(sides) != 3:
            raise _misfit(recipe, f"{name} {list(sides)} must have three sides", "give x, y and z: [96, 96, 96]")
    if recipe.split.by == "slice":
        raise _misfit(recipe, "split.by = 'slice' cannot be used with a 3D network", 'set split.by = "patient"')


def _misfit(recipe: Recipe, message: str, cure: str) -> UsageError:
    return UsageError(message, where=f"recipe {recipe.name}", cure=cure, code="usage.recipe")
