"""A wrong recipe is refused before torch is imported, and the error names the key, the value or the name meant."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metseg.errors import UsageError
from metseg.recipe import load_recipe, parse_recipe
from metseg.training.recipe_validation import check_recipe, validate_recipe

#: A change of `demo-unet`, and what the error says.
WRONG = [
    ("train.max_minute=1", "unknown key 'train.max_minute'", "did you mean train.max_minutes?"),
    ("max_minutes=1", "unknown key 'max_minutes'", "did you mean train.max_minutes?"),
    ("train.threshold=0.4", "unknown key 'train.threshold'", "did you mean predict.threshold?"),
    ("trian.seed=1", "unknown key 'trian'", "did you mean train?"),
    ("model.chanels=[8, 16]", "unknown key 'model.chanels'", "did you mean model.channels?"),
    ("model.name=atention_unet", "Unknown model 'atention_unet'", "Did you mean 'attention_unet'?"),
    ("model.blocks=[1]", "'model': 1 block counts for 3 levels", ""),
    ('augment=[{name = "rotat"}]', "Unknown augmentation 'rotat'", "Did you mean 'rotate'?"),
    ('augment=[{name = "flip", axis = [0]}]', "unknown key 'augment.0.axis'", "did you mean augment.0.axes?"),
    ('augment=[{name = "flip", axes = [2]}]', "no axis 2 to flip in 2D images", ""),
    ('preprocess=[{name = "zscor"}]', "Unknown preprocessing step 'zscor'", "Did you mean 'zscore'?"),
    ('preprocess=[{name = "zscore", scop = "case"}]', "unknown key 'preprocess.0.scop'", "preprocess.0.scope?"),
    ('preprocess=[{name = "zscore", scope = "cases"}]', "'preprocess.0.scope': Input should be", "mean 'case'?"),
    ('loss={name = "dice_bec"}', "Unknown loss 'dice_bec'", "Did you mean 'dice_bce'?"),
    ('loss={name = "blob", inner = {name = "tversky", bta = 0.8}}', "unknown key 'loss.inner.bta'", "loss.inner.beta?"),
    ("train.precision=float23", "'train.precision': Input should be", "did you mean 'float32'?"),
    ("train.optimizer=adm", "Unknown optimizer 'adm'", "Did you mean 'adam'?"),
    ("train.schedule=cosin", "Unknown schedule 'cosin'", "Did you mean 'cosine'?"),
    ("data.layout=bidz", "Unknown layout 'bidz'", "Did you mean 'bids'?"),
    ("data.labels=brats-gli-21", "Unknown label scheme 'brats-gli-21'", "Did you mean 'brats-gli-2021'?"),
    ("train.batch_size=0", "'train.batch_size': Input should be greater than 0", ""),
]


@pytest.mark.parametrize(("change", "what", "meant"), WRONG)
def test_what_was_meant_is_named(change: str, what: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_recipe(load_recipe("demo-unet", [change]))
    message = caught.value.one_line()
    assert what in message
    assert meant in message


def test_a_key_like_no_other_is_not_taken_for_one() -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("demo-unet", ["split.zebra=1"])
    assert caught.value.cure is not None
    assert "did you mean" not in caught.value.cure
    assert "known keys here: by, validation, test, folds, stratify, seed" in caught.value.cure


def test_the_name_of_a_shipped_recipe_may_be_mistyped() -> None:
    with pytest.raises(UsageError, match=r"Unknown recipe 'demo-unett'\. Did you mean 'demo-unet'\?"):
        load_recipe("demo-unett")


def test_what_needs_a_trial_of_the_loss_is_refused_by_the_full_check() -> None:
    recipe = load_recipe("demo-unet", ['loss={name = "dice", class_weights = [1.0, 2.0, 3.0]}'])
    check_recipe(recipe)
    with pytest.raises(UsageError, match="wrong number of class weights"):
        validate_recipe(recipe)


def test_a_recipe_that_is_right_passes() -> None:
    check_recipe(parse_recipe('base = "mets-3d"\n', where="test"))


#: Runs the command line in a process of its own, and says whether torch was imported when it ended.
PROBE = """
import sys
from metseg.cli import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("train", "demo-unett"),
        ("train", "demo-unet", "--set", "train.max_minute=1"),
        ("train", "demo-unet", "--set", "model.chanels=[8]"),
        ("train", "demo-unet", "--set", 'augment=[{name = "rotat"}]'),
        ("train", "demo-unet", "--set", "loss.name=dyce"),
        ("compare", "demo-unet", "lgg-fast", "--set", "train.optimizer=adm"),
    ],
)
def test_the_command_line_refuses_before_torch_is_imported(words: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, *words, "--data", "X", "--out", "Y"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout.strip() == "False"
    assert "did you mean" in ended.stderr.lower()
