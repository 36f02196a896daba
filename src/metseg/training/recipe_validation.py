"""Check every name and option of a recipe against the tables, before any data are read.

`check_recipe` imports no torch, so that a wrong name or option is reported in about a second.
"""

from __future__ import annotations

from metseg.dataset.augmentation_table import check_augmentations_of
from metseg.dataset.view_checks import check_view
from metseg.errors import UsageError
from metseg.io.data_origin import KNOWN
from metseg.io.layouts import LAYOUTS
from metseg.model.architectures import MODELS, require_dimensions
from metseg.preprocess import check_steps
from metseg.recipe import Recipe
from metseg.registry import lookup
from metseg.training.losses.loss_table import check_loss
from metseg.training.optimizers import OPTIMIZERS, SCHEDULES

#: Keys that have an effect only with certain values of another key: key, other key, its values.
ONLY_WITH = (
    ("train.momentum", "train.optimizer", ("sgd",)),
    ("train.plateau_patience", "train.schedule", ("plateau",)),
    ("train.plateau_factor", "train.schedule", ("plateau",)),
    ("train.patch_size", "data.dimensions", (3,)),
    ("predict.window", "data.dimensions", (3,)),
    ("predict.window_overlap", "data.dimensions", (3,)),
)


def validate_recipe(recipe: Recipe) -> None:
    """Check a recipe with `check_recipe`, and compute its loss once on a few voxels.

    Raises:
        UsageError: as `check_recipe`; also class weights that do not fit the classes, or losses nested wrongly.
    """
    check_recipe(recipe)
    from metseg.training.losses.loss_factory import loss_of  # imports torch

    loss_of(recipe)


def check_recipe(recipe: Recipe) -> None:
    """Check the names, options and keys of a recipe. Imports no torch.

    Raises:
        UsageError: an unknown layout, step, augmentation, model, loss, optimiser or schedule, a wrong option of one,
            a network without input, or a key that would be ignored.
    """
    if recipe.data.layout != "auto":
        LAYOUTS.lookup(recipe.data.layout)
    if recipe.data.written_for:
        lookup("data set", KNOWN, recipe.data.written_for)
    check_steps(recipe.preprocess)
    check_augmentations_of(recipe)
    check_view(recipe)
    recipe.model.parse(MODELS.lookup(recipe.model.name).options, key="model")
    require_dimensions(recipe.model.name, recipe.data.dimensions, where=f"recipe {recipe.name}, data.dimensions")
    check_loss(recipe.loss)
    lookup("optimizer", OPTIMIZERS, recipe.train.optimizer)
    lookup("schedule", SCHEDULES, recipe.train.schedule)
    _refuse_ignored(recipe)
    _check_optional(recipe)
    if not recipe.data.inputs:
        raise UsageError(
            "the recipe does not name the inputs of the network",
            where=f"recipe {recipe.name}",
            cure='name the channels of the pictures under [data], such as channels = ["t1n", "t2f", "t1c"]',
            code="usage.recipe",
        )


def _check_optional(recipe: Recipe) -> None:
    """Refuse optional sequences that the network does not see, and an optional reference."""
    data = recipe.data
    wrong = [name for name in data.optional if name not in data.inputs or name == data.reference]
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)} cannot be optional",
            where=f"recipe {recipe.name}, data.optional",
            expected=f"some of: {', '.join(name for name in data.inputs if name != data.reference)}",
            got=", ".join(data.optional),
            cure="list only inputs of the network there, without the reference",
            code="usage.recipe",
        )


def _refuse_ignored(recipe: Recipe) -> None:
    """Refuse a key that was changed and has no effect with the other values."""
    plain = Recipe(name=recipe.name, model=recipe.model)
    for entry, other, values in ONLY_WITH:
        if _entry(recipe, other) not in values and _entry(recipe, entry) != _entry(plain, entry):
            raise UsageError(
                f"{entry} has no effect with {other} = {_entry(recipe, other)!r}",
                where=f"recipe {recipe.name}",
                expected=f"{other} = {' or '.join(map(repr, values))}",
                got=f"{entry} = {_entry(recipe, entry)}",
                cure=f"leave {entry} out, or change {other}",
                code="usage.recipe",
            )


def _entry(recipe: Recipe, dotted: str) -> object:
    part, key = dotted.split(".")
    return getattr(getattr(recipe, part), key)
