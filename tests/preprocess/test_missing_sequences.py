"""A case without one of its sequences, for a network that was trained to do without."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.dataset.augmentation_options import MissingSequence
from metseg.errors import InputError, UsageError
from metseg.preprocess.cache.cache_key import recipe_stamp
from metseg.preprocess.missing_sequences import SequenceFill, grey_sequence, sequence_fill
from metseg.preprocess.pipeline import prepare
from metseg.recipe import Named, Recipe, load_recipe
from metseg.volume import Case, Volume

INPUTS = ("t1n", "t1c", "t2f")
STEPS = ({"name": "clip_percentiles", "region": "all"}, {"name": "zscore", "region": "all"})


def case(*names: str) -> Case:
    values = np.random.default_rng(0).integers(1, 200, (3, 10, 12, 3)).astype(np.uint8)
    volumes = {name: Volume(data) for name, data in zip(INPUTS, values, strict=True)}
    return Case("case", "p", {name: volumes[name] for name in names})


@pytest.fixture
def recipe(make_recipe) -> Recipe:
    return make_recipe(*STEPS, modalities=INPUTS, optional=["t1n", "t2f"])


def hiding(recipe: Recipe, **options: object) -> Recipe:
    return recipe.model_copy(update={"augment": (Named(name="missing_sequence", options=options),)})


def test_a_copy_of_the_reference_as_in_training(recipe):
    whole = prepare(case(*INPUTS), recipe)
    found = prepare(case("t1c", "t2f"), hiding(recipe, reference=1))
    assert found.modalities == INPUTS
    assert np.array_equal(found.image, whole.image[[1, 1, 2]])
    assert found.warnings == ("missing: t1n; the network gets a copy of t1c instead",)


def test_zeros_after_normalisation(recipe):
    whole = prepare(case(*INPUTS), recipe)
    found = prepare(case("t1n", "t1c"), hiding(recipe, reference=1, fill="zero"))
    assert np.array_equal(found.image[:2], whole.image[:2])
    assert not found.image[2].any()
    assert "the network gets zeros instead" in found.warnings[-1]


def test_a_whole_case_is_what_it_was(recipe, make_recipe):
    strict = make_recipe(*STEPS, modalities=INPUTS)
    assert np.array_equal(prepare(case(*INPUTS), recipe).image, prepare(case(*INPUTS), strict).image)


def test_what_is_needed_is_still_needed(recipe):
    with pytest.raises(InputError, match="case: missing sequence t1c") as caught:
        prepare(case("t1n", "t2f"), recipe)
    assert caught.value.code == "input.missing_sequence"
    with pytest.raises(InputError, match="case: missing sequence t1n"):
        prepare(case("t1c", "t2f"), hiding(recipe, reference=0))  # the copy would be of what is missing itself
    with pytest.raises(UsageError, match="reference of 'missing_sequence' is not an input"):
        prepare(case("t1c", "t2f"), hiding(recipe, reference=7))


def test_defaults_are_those_of_the_augmentation():
    shared = set(SequenceFill.model_fields)
    assert SequenceFill().model_dump() == MissingSequence().model_dump(include=shared)
    given = {"probability": 0.5, "fill": "zero", "reference": 2}
    assert sequence_fill([Named(name="flip"), Named(name="missing_sequence", options=given)]) == SequenceFill(
        fill="zero", reference=2
    )


def test_the_stamp_knows_the_fill_where_it_counts(recipe, make_recipe):
    assert recipe_stamp(hiding(recipe, fill="zero")) != recipe_stamp(recipe)
    strict = make_recipe(*STEPS, modalities=INPUTS)
    assert recipe_stamp(hiding(strict, fill="zero")) == recipe_stamp(strict)


HIDING = Named(name="missing_sequence", options={"reference": 1, "fill": "copy"})


def recipe_for_pictures(augment: list[Named]) -> Recipe:
    recipe = load_recipe("lgg-fast")
    return recipe.model_copy(update={"augment": tuple(augment)})


def test_a_grey_picture_is_shown_in_place_of_all_sequences_where_the_network_was_trained_so() -> None:
    recipe = recipe_for_pictures([HIDING])
    assert grey_sequence(recipe) == "t2f"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 1)).astype(np.uint8)
    images = {name: Volume(pixels) for name in ("t1n", "t2f", "t1c")}
    three = prepare(Case("a", "p", images, slice_names=("1",)), recipe)
    grey = prepare(Case("a", "p", {"t2f": Volume(pixels)}, slice_names=("1",)), recipe)
    np.testing.assert_array_equal(grey.image, three.image)
    assert grey.warnings == ("missing: t1n, t1c; the network gets a copy of t2f instead",)


@pytest.mark.parametrize(
    "augment", [[], [Named(name="missing_sequence", options={"reference": 1, "fill": "zero"})]], ids=["none", "zero"]
)
def test_a_grey_picture_is_refused_by_a_network_that_was_not_trained_so(augment: list[Named]) -> None:
    recipe = recipe_for_pictures(augment)
    assert grey_sequence(recipe) is None
    picture = Case("a", "p", {"t2f": Volume(np.ones((64, 64, 1), np.uint8))}, slice_names=("1",))
    with pytest.raises(InputError, match="missing sequence t1n, t1c"):
        prepare(picture, recipe)
