"""The cheapest form that validation allows, with hand-made figures."""

from __future__ import annotations

import pytest

from metseg.recipe import Named, Recipe
from metseg.training.weights.pruning import cheapest_form


def recipe(name: str, **options: object) -> Recipe:
    return Recipe(name="test", model=Named(name=name, options=options))


@pytest.mark.parametrize(
    ("figures", "depth"),
    [
        ((0.50, 0.70, 0.79, 0.80), 4),
        ((0.50, 0.70, 0.796, 0.80), 3),
        ((0.798, 0.70, 0.79, 0.80), 1),
        ((0.60, 0.81, 0.80, 0.79), 2),
    ],
)
def test_the_shallowest_depth_within_the_allowed_loss_is_chosen(figures: tuple[float, ...], depth: int) -> None:
    def dice(candidate: Recipe) -> float:
        return figures[candidate.model.options["inference_depth"] - 1]

    chosen, seen = cheapest_form(recipe("unet_plus_plus"), dice)
    assert chosen.model.options["inference_depth"] == depth
    assert tuple(seen.values()) == figures


@pytest.mark.parametrize("plain", [recipe("unet"), recipe("unet_plus_plus", deep_supervision=False)])
def test_one_form_only_is_left_alone_and_not_even_scored(plain: Recipe) -> None:
    chosen, seen = cheapest_form(plain, lambda candidate: pytest.fail("scored"))
    assert chosen == plain
    assert seen == {}
