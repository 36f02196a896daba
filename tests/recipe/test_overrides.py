"""``--set``: what it changes, and what it refuses instead of breaking."""

from __future__ import annotations

import pytest

from metseg.errors import UsageError
from metseg.recipe import TrainPart, load_recipe, parse_recipe

TEXT = 'name = "r"\nmodel = { name = "unet" }\ntrain = { max_epochs = 3, seed = 4 }\naugment = [{ name = "flip" }]\n'


def changed(*changes: str):
    return parse_recipe(TEXT, where="test", changes=changes)


def test_a_value_is_changed_by_its_path():
    recipe = changed("train.seed=9", "augment.0.axes=[1]", "loss.name=dice", "model.channels=[8, 16]")
    assert recipe.train.seed == 9
    assert recipe.augment[0].options == {"axes": [1]}
    assert recipe.loss.name == "dice"
    assert recipe.model.options == {"channels": [8, 16]}


def test_nothing_behind_the_sign_brings_the_default_back():
    assert changed("train.seed=", "train.max_epochs=").train == TrainPart()
    assert changed("augment.0=").augment == ()


@pytest.mark.parametrize("change", ["name.x.y=1", "train.seed.x=1", "train.seed.x.y=1", "augment.0.name.x=2"])
def test_a_path_through_a_plain_value_is_refused(change):
    with pytest.raises(UsageError, match="lies inside a value that has no keys"):
        changed(change)


@pytest.mark.parametrize("change", ["augment.1.name=x", "augment.-1.name=x", "augment.first=1"])
def test_a_place_that_is_not_there_is_refused(change):
    with pytest.raises(UsageError, match="no element"):
        changed(change)


def test_a_change_without_a_sign_is_refused():
    with pytest.raises(UsageError, match="key=value"):
        changed("train.seed")


def test_a_recipe_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"name = \xff\xfe")
    with pytest.raises(UsageError, match=r"cannot read the recipe.*not UTF-8"):
        load_recipe(path)


def test_one_fold_is_no_cross_validation():
    with pytest.raises(UsageError, match="2 or more"):
        changed("split.folds=1")


def test_without_any_budget_there_is_a_default_one():
    assert changed("train.max_epochs=").train.epochs == 50
    assert changed("train.max_epochs=", "train.max_minutes=2").train.epochs is None
    assert changed().train.epochs == 3


def test_a_recipe_written_out_can_be_changed_like_one_written_by_hand():
    written = changed("model.channels=[8, 16]").to_toml()
    again = parse_recipe(written, where="test", changes=("model.channels=[4, 8]", "augment.0.axes=[1]"))
    assert again.model.options == {"channels": [4, 8]}
    assert again.augment[0].options == {"axes": [1]}
