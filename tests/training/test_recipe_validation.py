"""A recipe that could only fail later, or whose entries would be ignored, is refused."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from metseg.errors import UsageError
from metseg.recipe import Recipe, load_recipe
from metseg.training.recipe_validation import ONLY_WITH, validate_recipe

#: For each entry that means something only beside others, a value that is not its default.
CHANGED = {
    "train.momentum": 0.5,
    "train.plateau_patience": 2,
    "train.plateau_factor": 0.1,
    "train.patch_size": (32, 32, 32),
    "predict.window": (64, 64, 64),
    "predict.window_overlap": 0.25,
}


def recipe(**parts: dict[str, Any]) -> Recipe:
    merged = {**parts, "data": {"channels": ["t2f"], **parts.get("data", {})}}
    return Recipe.model_validate({"name": "test", "model": {"name": "unet"}, **merged})


@pytest.mark.parametrize(("entry", "other", "values"), ONLY_WITH)
def test_an_entry_without_effect_is_refused_and_with_effect_is_not(
    entry: str, other: str, values: tuple[object, ...]
) -> None:
    (part, key), (other_part, other_key) = entry.split("."), other.split(".")
    with pytest.raises(UsageError, match=f"{entry} has no effect with {other}") as caught:
        validate_recipe(recipe(**{part: {key: CHANGED[entry]}}))
    assert caught.value.code == "usage.recipe"
    parts: dict[str, dict[str, Any]] = {part: {key: CHANGED[entry]}}
    parts.setdefault(other_part, {})[other_key] = values[0]
    validate_recipe(recipe(**parts))


@pytest.mark.parametrize(("optional", "fits"), [(["t2w"], True), (["adc", "t2w"], False), (["t1c", "t2w"], False)])
def test_only_sequences_that_are_seen_may_be_missing_and_not_the_reference(optional: list[str], *, fits: bool) -> None:
    recipe = load_recipe("mets-3d", changes=[f"data.optional={optional!r}"])
    with nullcontext() if fits else pytest.raises(UsageError, match=f"{optional[0]} cannot be optional"):
        validate_recipe(recipe)
