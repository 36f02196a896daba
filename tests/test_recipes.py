"""Every shipped recipe can be run: its names and options are in the tables, and its network can be built."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.main import get_command

from metseg.cli import app
from metseg.errors import InputError, UsageError
from metseg.model import MODELS, build_from_recipe
from metseg.preprocess.pipeline import prepare
from metseg.recipe import load_recipe, shipped_recipes
from metseg.training.losses import loss_of
from metseg.training.recipe_validation import validate_recipe
from metseg.volume import Case, Volume

EXPECTED = {
    "assignment-attention-unet": "attention_unet",
    "assignment-unet-plus-plus": "unet_plus_plus",
    "assignment-inception": "inception_unet",
    "framework-unet-plus-plus": "unet_plus_plus",
    "framework-attention-unet": "attention_unet",
    "framework-inception": "inception_unet",
    "transfer-inception": "inception_unet",
    "demo-unet": "unet",
    "demo-attention-unet": "attention_unet",
    "demo-unet-plus-plus": "unet_plus_plus",
    "lgg-fast": "unet",
    "lgg-attention-unet": "attention_unet",
    "lgg-unet-plus-plus": "unet_plus_plus",
    "lgg-inception": "inception_unet",
    "lgg-pretrained": "efficient_unet",
    "t1c-slices": "efficient_unet",
    "mets-brain": "efficient_unet",
}


def test_the_promised_recipes_are_shipped() -> None:
    assert {name: load_recipe(name).model.name for name in EXPECTED} == EXPECTED


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_can_be_run(name: str) -> None:
    recipe = load_recipe(name)
    validate_recipe(recipe)
    assert recipe.name == name
    assert recipe.description
    assert recipe.source
    network = build_from_recipe(recipe, initial_weights=False).train()
    sides = (96, 96) if recipe.data.dimensions == 2 else (32, 32, 32)
    image = torch.rand(2, len(recipe.seen), *sides)
    output = network(image)
    finest = output[0] if isinstance(output, list) else output
    assert finest.shape[2:] == image.shape[2:]
    assert torch.isfinite(loss_of(recipe)(finest, torch.zeros(2, *sides, dtype=torch.uint8)))


def test_mets_3d_fixed_is_augmented_as_mets_3d_but_for_what_it_names() -> None:
    """A base's list of steps cannot be changed in part, so it is there twice."""
    base, fixed = load_recipe("mets-3d").augment, load_recipe("mets-3d-fixed").augment
    kept = [step for step in base if step.name not in ("brightness", "contrast")]
    assert [step for step in fixed if step.name != "gamma"] == [step for step in kept if step.name != "gamma"]
    assert [step.name for step in fixed] == [step.name for step in kept]


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("assignment-")])
def test_assignment_recipes_are_the_assignment(name: str) -> None:
    """CLAHE on the FLAIR channel, [0, 1], rotated, zoomed, flipped, BCE, Adam 1e-3, batch 8, 50 epochs, 80/20."""
    recipe = load_recipe(name)
    assert recipe.data.inputs == ("t2f",)
    assert [step.name for step in recipe.preprocess] == ["clahe", "rescale"]
    assert [step.name for step in recipe.augment] == ["rotate", "zoom", "flip"]
    assert recipe.loss.name == "bce"
    train = recipe.train
    assert (train.optimizer, train.learning_rate, train.batch_size, train.max_epochs) == ("adam", 1e-3, 8, 50)
    assert (recipe.split.by, recipe.split.test) == ("patient", 0.2)


def stripped_study(name: str, dtype: type[np.generic], *, noise: float = 0.0) -> Case:
    """Every sequence of a recipe: a ball of 58 mm (817 mL) of values from 100 to 1200 in air of 0, or of noise."""
    index = np.moveaxis(np.indices((32, 32, 32)), 0, -1) * 4.0 - 62.0
    ball = np.linalg.norm(index, axis=-1) < 58
    values = np.where(ball, np.linspace(100, 1200, 32)[:, None, None], 0.0)
    if noise:
        values = values + np.abs(np.random.default_rng(0).normal(0, noise, values.shape)) * ~ball
    volume = Volume(values.astype(dtype), np.diag([4.0, 4.0, 4.0, 1.0]))
    return Case("case", "patient", dict.fromkeys(load_recipe(name).data.inputs, volume))


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("kaur2024-")])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_kaur2024_brings_every_image_to_0_to_1_by_its_own_range(name: str, dtype: type[np.generic]) -> None:
    image = prepare(stripped_study(name, dtype), load_recipe(name)).image
    assert image.min(axis=(1, 2, 3)).tolist() == [0, 0, 0, 0]
    assert image.max(axis=(1, 2, 3)).tolist() == [1, 1, 1, 1]
    # 650 of 1200, in the middle of the ramp
    assert np.median(image[image > 0]) == pytest.approx(650 / 1200, abs=0.05)


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if re.match("kaur|neuroinsight|mets", name)])
def test_recipes_of_skull_stripped_data_refuse_a_head(name: str) -> None:
    recipe = load_recipe(name)
    prepare(stripped_study(name, np.float32), recipe)
    with pytest.raises(InputError) as caught:
        prepare(stripped_study(name, np.float32, noise=20), recipe)
    assert caught.value.code == "input.brain_mask"


@pytest.mark.parametrize(("family", "count"), [("demo-", 3), ("assignment-", 3), ("framework-", 3), ("lgg-", 4)])
def test_recipes_that_are_compared_differ_in_nothing_but_the_network(family: str, count: int) -> None:
    """A comparison is about the networks only if all else is equal.

    The lgg- recipes take the same time on the same machine, by steps: a slower network has fewer of them.
    """
    recipes = [load_recipe(name) for name in shipped_recipes() if name.startswith(family) and "pretrained" not in name]
    assert len(recipes) == count
    alike = {
        recipe.model_copy(
            update={
                **dict.fromkeys(("name", "description", "source"), ""),
                "model": recipes[0].model,
                "train": recipe.train.model_copy(update={"max_steps": recipes[0].train.max_steps}),
            }
        ).to_toml()
        for recipe in recipes
    }
    assert len(alike) == 1
    assert {recipe.model.name for recipe in recipes} <= set(MODELS)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_short_recipe_learns_as_much_on_a_busy_machine(name: str) -> None:
    """Its budget is in steps or epochs; minutes are only a limit that a quiet machine does not reach."""
    train = load_recipe(name).train
    limit = train.max_minutes
    assert limit is None or limit >= 120 or (train.max_steps is not None and limit >= 30)


def test_the_networks_of_the_demo_have_the_same_number_of_steps() -> None:
    assert len({load_recipe(name).train.max_steps for name in shipped_recipes() if name.startswith("demo-")}) == 1


def test_a_recipe_is_like_its_base_but_for_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "lgg-fast"\nname = "mine"\n[train]\nbatch_size = 4\n[model]\nname = "cnn"\n', "utf-8")
    mine, base = load_recipe(path, ["train.seed=5"]), load_recipe("lgg-fast")
    assert (mine.name, mine.model.name, mine.model.options) == ("mine", "cnn", {})
    assert mine.train == base.train.model_copy(update={"batch_size": 4, "seed": 5})
    assert (mine.augment, mine.data, mine.predict) == (base.augment, base.data, base.predict)


def test_an_unknown_base_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "lgg-fist"\nname = "mine"\n', "utf-8")
    with pytest.raises(UsageError, match="Did you mean 'lgg-fast'"):
        load_recipe(path)


PAGE = Path(__file__).parents[1] / "docs" / "reproduce.md"
FOUND = re.findall(r"metseg (?:train|compare) [^`]+?(?=`|\n\n)", PAGE.read_text("utf-8"))
COMMANDS = [command for command in FOUND if "--data" in command]


def test_every_recipe_is_in_the_table_of_how_to_reproduce() -> None:
    for name in shipped_recipes():
        assert f"| `{name}` |" in PAGE.read_text("utf-8")
        assert any(command.startswith(f"metseg train {name} --data") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split())[:60])
def test_every_command_of_that_page_can_be_run(command: str) -> None:
    """The names, the changes and the options are known: what remains is to have the data and the time."""
    _, verb, *words = shlex.split(command.replace("\\\n", " "))
    changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    names = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
    assert len(names) == 1 or verb == "compare"
    for name in names:
        validate_recipe(load_recipe(name, changes))
    parsed = get_command(app).commands[verb].make_context(verb, list(words))  # type: ignore[attr-defined]
    assert parsed.params["data"]
