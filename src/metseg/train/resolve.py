"""Check every name and option of a recipe against the tables, before any data is touched."""

from __future__ import annotations

from metseg.dataset import Augmenter, check_view
from metseg.errors import UsageError
from metseg.io.layouts import LAYOUTS
from metseg.model import MODELS
from metseg.preprocess import check_steps
from metseg.recipe import Recipe
from metseg.tables import lookup
from metseg.train.losses import loss_of
from metseg.train.optimizers import OPTIMIZERS, SCHEDULES


def resolve(recipe: Recipe) -> None:
    """Refuse a recipe that could only fail later.

    Raises:
        UsageError: an unknown layout, step, augmentation, model, loss, optimiser or schedule, a wrong option of one,
            or a network without input.
    """
    if recipe.data.layout != "auto":
        lookup("layout", LAYOUTS, recipe.data.layout)
    check_steps(recipe.preprocess)
    Augmenter.of(recipe)
    check_view(recipe)
    spec = lookup("model", MODELS, recipe.model.name)
    recipe.model.parse(spec.options)
    if recipe.data.dimensions not in spec.dimensions:
        raise UsageError(f"'{recipe.model.name}' has no {recipe.data.dimensions}D form", where=f"recipe {recipe.name}")
    loss_of(recipe)
    lookup("optimizer", OPTIMIZERS, recipe.train.optimizer)
    lookup("schedule", SCHEDULES, recipe.train.schedule)
    if not recipe.data.inputs:
        raise UsageError(
            "the recipe does not say what the network sees",
            where=f"recipe {recipe.name}",
            cure='name the channels of the pictures, such as channels = ["t1n", "t2f", "t1c"], under [data]',
            code="usage.recipe",
        )
