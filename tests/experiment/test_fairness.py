"""Recipes that cannot be compared, and those that can but not quite fairly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metseg.errors import UsageError
from metseg.experiment.fairness import budget_text, fairness_warnings, require_comparable
from metseg.recipe import Recipe

RecipeMaker = Callable[..., Recipe]


def test_recipes_need_names_of_their_own(make_tiny_recipe: RecipeMaker) -> None:
    with pytest.raises(UsageError, match="same name"):
        require_comparable([make_tiny_recipe(), make_tiny_recipe()])


def test_recipes_have_to_predict_the_same(make_tiny_recipe: RecipeMaker) -> None:
    with pytest.raises(UsageError, match=r"different labels.*binary, brats-2015"):
        require_comparable([make_tiny_recipe(), make_tiny_recipe("name=b", "data.labels=brats-2015")])


def test_no_recipe() -> None:
    with pytest.raises(UsageError, match="no recipe"):
        require_comparable([])


def test_equal_budgets_need_no_warning(make_tiny_recipe: RecipeMaker) -> None:
    assert fairness_warnings([make_tiny_recipe(), make_tiny_recipe("name=b", "train.learning_rate=0.5")]) == ()


def test_unequal_budgets_are_named(make_tiny_recipe: RecipeMaker) -> None:
    (warning,) = fairness_warnings([make_tiny_recipe(), make_tiny_recipe("name=b", "train.max_minutes=2")])
    assert warning == ("Unequal budgets: tiny: at most 8 batches of 4; b: at most 2 minutes and 8 batches of 4.")


def test_as_many_steps_of_larger_batches_are_a_larger_budget(make_tiny_recipe: RecipeMaker) -> None:
    recipes = [make_tiny_recipe(), make_tiny_recipe("name=b", "train.batch_size=8")]
    assert "batches of 8" in fairness_warnings(recipes)[0]


def test_time_alone(make_tiny_recipe: RecipeMaker) -> None:
    recipe = make_tiny_recipe("train.max_minutes=0.5")
    only_time = recipe.train.model_copy(update={"max_steps": None, "max_epochs": None})
    assert budget_text(recipe.model_copy(update={"train": only_time})) == "at most 0.5 minutes"


def test_different_splits_are_said(make_tiny_recipe: RecipeMaker) -> None:
    (warning,) = fairness_warnings([make_tiny_recipe(), make_tiny_recipe("name=b", "split.seed=7")])
    assert "different splits" in warning
    assert "the split of tiny" in warning
