"""Decide whether a case needs brain extraction before the steps of a recipe run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from metseg.geometry import same_grid
from metseg.preprocess import check_steps
from metseg.preprocess.steps.brain_mask import Options, show_brains_only
from metseg.recipe import Recipe
from metseg.volume import BRAIN_MASK, Case, Volume

#: Returns a case with its brain mask added where `needs_brain_extraction` says so. Preprocessing has no network:
#: the layers above hand in `metseg.inference.brain.brain_extraction.ensure_brain_mask`.
BrainFinder = Callable[[Case, Recipe], Case]


def extraction_method(recipe: Recipe) -> str | None:
    """Return how a recipe finds the brain in heads with skull, ``network`` or ``deepbet``; None: not at all."""
    options = brain_mask_options(recipe)
    if options is None:
        return None
    if options.source == "best":
        return "network" if options.otherwise == "refuse" else None
    return options.source if options.source in ("network", "deepbet") else None


def brain_mask_options(recipe: Recipe) -> Options | None:
    """Return the options of the recipe's step `brain_mask`; None where it has no such step."""
    options = (step.options for step in check_steps(recipe.preprocess) if step.name == "brain_mask")
    return next((each for each in options if isinstance(each, Options)), None)


def needs_brain_extraction(case: Case, recipe: Recipe) -> bool:
    """Return whether a case shows a skull, has no brain mask, and the recipe extracts the brain automatically.

    Pictures are left to the step `brain_mask`: their size is not known. So are cases without an image that the
    network sees: what is missing is said when they are stacked.
    """
    if extraction_method(recipe) is None or case.is_slice_stack or BRAIN_MASK in case.images:
        return False
    images = [case.images[name] for name in recipe.data.inputs or case.modalities if name in case.images]
    if not images or any(image.affine is None for image in images):
        return False
    return not all(show_brains_only(_stacked(group), group[0].affine) for group in _by_grid(images))


def _by_grid(images: Sequence[Volume]) -> Iterator[list[Volume]]:
    """Yield the images that share a grid together: one may show the background that is dark in another."""
    rest = list(images)
    while rest:
        first = rest[0]
        yield [image for image in rest if same_grid(first.grid, image.grid)]
        rest = [image for image in rest if not same_grid(first.grid, image.grid)]


def _stacked(images: Sequence[Volume]) -> np.ndarray:
    return np.stack([image.data for image in images])
