"""The table: building by name, and what a recipe's channels are."""

from __future__ import annotations

import pytest

from metseg.errors import UsageError
from metseg.model import MODELS, build_from_recipe, build_model, channels_of
from metseg.recipe import DataPart, Named, Recipe


def recipe(**data: object) -> Recipe:
    return Recipe(name="r", data=DataPart.model_validate(data), model=Named(name="cnn", options={"channels": (2, 2)}))


def test_a_misspelt_name_is_corrected() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'attention_unet'\? Known: unet,"):
        build_model("atention_unet", {}, in_channels=1, out_channels=1)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UsageError, match="known keys here: channels, dropout") as caught:
        build_model("attention_unet", {"chanels": [8, 16]}, in_channels=1, out_channels=1)
    assert "options of 'attention_unet'" in caught.value.one_line()


@pytest.mark.parametrize("name", [name for name, spec in MODELS.items() if spec.dimensions == (2,)])
def test_slice_networks_refuse_volumes(name: str) -> None:
    with pytest.raises(UsageError, match="has no 3D form") as caught:
        build_model(name, {}, in_channels=1, out_channels=1, dimensions=3)
    assert name not in (caught.value.cure or "")


def test_no_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one input channel"):
        build_model("cnn", {}, in_channels=0, out_channels=1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"channels": ("t1n", "t2f", "t1c")}, (3, 1)),
        ({"channels": ("t1n", "t2f", "t1c"), "modalities": ("t2f",)}, (1, 1)),
        ({"modalities": ("t1c", "t2f"), "labels": "brats-met-2023"}, (2, 4)),
        ({"modalities": ("t1c",), "labels": "brats-met-2024"}, (1, 5)),
    ],
)
def test_channels_follow_from_the_recipe(data: dict[str, object], expected: tuple[int, int]) -> None:
    assert channels_of(recipe(**data)) == expected
    network = build_from_recipe(recipe(**data))
    assert (network.in_channels, network.out_channels) == expected


def test_a_recipe_without_channels_is_refused() -> None:
    with pytest.raises(UsageError, match=r"does not name the inputs of the network.*data\.channels") as caught:
        channels_of(recipe())
    assert caught.value.code == "usage.channels"
