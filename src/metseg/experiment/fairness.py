"""Check whether recipes are comparable, and collect warnings on an unfair comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metseg.errors import UsageError
from metseg.recipe import Recipe


def require_comparable(recipes: Sequence[Recipe]) -> None:
    """Raise an error for recipes that are not comparable.

    Raises:
        UsageError: no recipe, two of one name, or recipes that predict different labels.
    """
    if not recipes:
        raise UsageError("no recipe to compare", cure="give at least one recipe")
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise UsageError("two recipes have the same name", got=", ".join(names), cure="rename one of them")
    labels = {recipe.data.labels for recipe in recipes}
    if len(labels) > 1:
        raise UsageError(
            "the recipes predict different labels",
            got=", ".join(sorted(labels)),
            cure="compare recipes that predict the same labels",
        )


def fairness_warnings(recipes: Sequence[Recipe]) -> tuple[str, ...]:
    """Return the warnings for readers of the table, one sentence each."""
    warnings = []
    if spread := _differing(recipes, budget_text):
        warnings.append(f"Unequal budgets: {spread}.")
    if _differing(recipes, lambda recipe: recipe.split.model_dump_json()):
        warnings.append(
            f"The recipes describe different splits: all were trained on the split of {recipes[0].name}, "
            "or on the given split file."
        )
    return tuple(warnings)


def budget_text(recipe: Recipe) -> str:
    """Return the training budget of a recipe as text, early stopping excluded.

    >>> from metseg.recipe import parse_recipe
    >>> text = 'name = "r"\\nmodel = "unet"\\ntrain = {max_minutes = 20, max_epochs = 7}'
    >>> budget_text(parse_recipe(text.replace('"unet"', '{name = "unet"}'), where="r"))
    'at most 20 minutes and 7 epochs of every slice'
    """
    train = recipe.train
    epoch = "every slice" if train.steps_per_epoch is None else f"{train.steps_per_epoch} batches of {train.batch_size}"
    limits = [
        f"{limit:g} {unit}"
        for limit, unit in (
            (train.max_minutes, "minutes"),
            (train.max_steps, f"batches of {train.batch_size}"),
            (train.epochs, f"epochs of {epoch}"),
        )
        if limit is not None
    ]
    return f"at most {' and '.join(limits)}"


def _differing(recipes: Sequence[Recipe], fact: Callable[[Recipe], str]) -> str:
    """Return "name: fact" of every recipe if the facts differ, else an empty string."""
    facts = {recipe.name: fact(recipe) for recipe in recipes}
    if len(set(facts.values())) == 1:
        return ""
    return "; ".join(f"{name}: {value}" for name, value in facts.items())
