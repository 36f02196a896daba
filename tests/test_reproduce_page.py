"""``docs/reproduce.md`` against the shipped recipes: each checked cell names a key, or a layer and its number."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metseg.dataset.augmentation_table import AUGMENTATIONS
from metseg.model import MODELS, build_from_recipe
from metseg.preprocess.pipeline import STEPS
from metseg.recipe import Named, load_recipe
from metseg.training.losses.loss_table import LOSSES

PAGE = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text("utf-8")
#: ``recipe: key = value``
CLAIM = re.compile(r"`([a-z0-9-]+): ([\w.]+) = ([^`]+)`")
SOURCES = ("S0", "S1", "S2", "S3", "S4")
TABLES = {"model": MODELS, "loss": LOSSES, "augment": AUGMENTATIONS, "preprocess": STEPS}
KINDS = ("Conv2d", "BatchNorm2d", "MaxPool2d", "Dropout2d")


def part_of(source: str) -> str:
    """Return the text of one source, from its heading to the next."""
    return PAGE.split(f"\n## {source}: ")[1].split("\n## ")[0]


def rows(source: str) -> list[list[str]]:
    lines = [line for line in part_of(source).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == 5 and row[0] != "named"]


CELLS = [row[4] for source in SOURCES for row in rows(source)]
CLAIMS = [pytest.param(*match, id=" ".join(match)) for cell in CELLS for match in CLAIM.findall(cell)]


def value_of(recipe: str, key: str) -> Any:
    """Return what a recipe has at a dotted key; options that it does not set have their defaults."""
    value: Any = load_recipe(recipe)
    table: Any = None
    for word in key.split("."):
        if isinstance(value, Named):
            if word == "name":
                return value.name
            value = value.parse(table.lookup(value.name).options)
        table = TABLES.get(word, table)
        value = value[int(word)] if word.isdigit() else getattr(value, word)
    return value


@cache
def layers(recipe: str) -> Counter[str]:
    """Return how many layers of each kind the recipe's network runs for one input."""
    loaded = load_recipe(recipe)
    network = build_from_recipe(loaded, initial_weights=False).train()
    ran: Counter[str] = Counter()
    depth: Counter[str] = Counter()  # a safe convolution may call a copy of itself, at a higher precision

    def watch(module: nn.Module, kind: str) -> None:
        def begin(*_: object) -> None:
            ran[kind] += depth[kind] == 0
            depth[kind] += 1

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(lambda *_: depth.subtract([kind]))

    for module in network.modules():
        for kind in KINDS:
            if isinstance(module, getattr(nn, kind)):
                watch(module, kind)
    with torch.no_grad():
        network(torch.rand(2, len(loaded.seen), 64, 64))
    return ran


@pytest.mark.parametrize(("recipe", "key", "value"), CLAIMS)
def test_the_page_says_what_the_recipe_does(recipe: str, key: str, value: str) -> None:
    expected = ast.literal_eval(value)
    if key.startswith("layers."):
        kind = key.removeprefix("layers.")
        assert kind in KINDS
        assert layers(recipe)[kind] == expected
        return
    found = value_of(recipe, key)
    assert (list(found) if isinstance(found, tuple) else found) == expected


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_its_table(source: str) -> None:
    """Its rows have five cells, say what metseg has, and some are checked."""
    lines = [line for line in part_of(source).split("\n\n")[1].splitlines()[2:]]
    assert len(lines) == len(rows(source)) >= 10
    assert all(row[2] for row in rows(source))
    assert sum(bool(CLAIM.search(row[4])) for row in rows(source)) >= 6
    for row in rows(source):
        assert row[4].count("`") == 2 * len(CLAIM.findall(row[4])), row  # nothing that looks checked is not


def test_every_recipe_of_a_source_is_checked() -> None:
    named = {claim.values[0] for claim in CLAIMS}
    assert {name for name in named if not name.startswith(("framework-", "transfer-"))} >= {
        "assignment-attention-unet",
        "assignment-unet-plus-plus",
        "kaur2024-unet-dropout",
        "kaur2024-unet-dropout-classes",
        "kaur2024-cnn",
        "kaur2024-fcn",
        "neuroinsight-brats2019",
    }
