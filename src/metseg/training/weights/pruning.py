"""Choose the cheapest form of a trained network (U-Net++: its depth) by validation Dice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metseg.model import MODELS
from metseg.recipe import Named, Recipe

#: A cheaper form may lose this much mean validation Dice against the best form.
ALLOWED_LOSS = 0.005


def cheapest_form(recipe: Recipe, validation_dice: Callable[[Recipe], float]) -> tuple[Recipe, dict[str, float]]:
    """Return the recipe of the cheapest form within `ALLOWED_LOSS` of the best, and the Dice of each form.

    Zhou et al. 2018 (arXiv:1807.10165) prune U-Net++ so: its heads at every depth are trained, and validation says how
    many are needed.

    Args:
        recipe: as trained.
        validation_dice: the mean Dice over validation patients of the trained weights in the form of a recipe.
    Returns:
        the unchanged recipe, and nothing, where the architecture has only one form.
    """
    spec = MODELS.lookup(recipe.model.name)
    forms = spec.inference_forms(recipe.model.parse(spec.options))
    if len(forms) < 2:
        return recipe, {}
    recipes = [_in_form(recipe, form) for form in forms]
    figures = [validation_dice(candidate) for candidate in recipes]
    chosen = next(place for place, dice in enumerate(figures) if dice >= max(figures) - ALLOWED_LOSS)
    names = [", ".join(f"{option} = {value}" for option, value in form.items()) for form in forms]
    return recipes[chosen], dict(zip(names, figures, strict=True))


def _in_form(recipe: Recipe, form: dict[str, Any]) -> Recipe:
    options = {**recipe.model.options, **form}
    return recipe.model_copy(update={"model": Named(name=recipe.model.name, options=options)})
