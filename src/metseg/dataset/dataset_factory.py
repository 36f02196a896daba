"""Build the data sets of a recipe from cached cases: slices for 2D networks, patches for 3D networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from metseg.dataset.augmentation import Augmenter
from metseg.dataset.patch_dataset import PatchDataset, patch_items
from metseg.dataset.samples import TrainingSet, ValidationSet
from metseg.dataset.slice_dataset import SliceDataset, SliceItem, training_slices
from metseg.dataset.validation_tiles import TileDataset
from metseg.dataset.view_checks import check_view
from metseg.errors import InputError
from metseg.labels import LABEL_SCHEMES
from metseg.preprocess.cache import Cache
from metseg.recipe import Recipe


class Part(NamedTuple):
    """A case of a part of the split, by its number in the cache; `slices`: these only, or None for all."""

    case: int
    slices: tuple[int, ...] | None


def make_views(
    recipe: Recipe, cache: Cache, train: Sequence[Part], validation: Sequence[Part]
) -> tuple[TrainingSet, ValidationSet]:
    """Return what is trained on and what is validated on.

    Validation always uses every slice, or the whole head, even if training leaves some out: it scores whole cases.

    Raises:
        UsageError: see `check_view`.
        InputError: nothing is left to train on.
    """
    check_view(recipe)
    views = VIEWS[recipe.data.dimensions](recipe, cache, train, validation)
    if not len(views[0]):
        raise InputError(
            "no slices are left to train on",
            where=f"recipe {recipe.name}",
            got=f"slice_range {recipe.data.slice_range}, with_brain {recipe.data.with_brain}",
            cure="change slice_range or with_brain under [data]",
            code="input.too_few",
        )
    return views


def _slice_views(
    recipe: Recipe, cache: Cache, train: Sequence[Part], validation: Sequence[Part]
) -> tuple[TrainingSet, ValidationSet]:
    scheme, neighbours = LABEL_SCHEMES[recipe.data.labels], recipe.data.neighbours
    items = [
        SliceItem(part.case, z)
        for part in train
        for z in training_slices(cache.entries[part.case], recipe.data)
        if part.slices is None or z in part.slices
    ]
    every = [
        SliceItem(part.case, z)
        for part in validation
        for z in (range(cache.entries[part.case].slices) if part.slices is None else part.slices)
    ]
    augmenter = Augmenter.of(recipe)
    return (
        SliceDataset(cache, items, scheme=scheme, augmenter=augmenter, seed=recipe.train.seed, neighbours=neighbours),
        SliceDataset(cache, every, scheme=scheme, neighbours=neighbours),
    )


def _patch_views(
    recipe: Recipe, cache: Cache, train: Sequence[Part], validation: Sequence[Part]
) -> tuple[TrainingSet, ValidationSet]:
    scheme, size = LABEL_SCHEMES[recipe.data.labels], recipe.train.patch_size
    items = patch_items(cache, [part.case for part in train], lesion_share=recipe.train.lesion_share)
    augmenter = Augmenter.of(recipe)
    return (
        PatchDataset(cache, items, patch_size=size, scheme=scheme, augmenter=augmenter, seed=recipe.train.seed),
        TileDataset(cache, [part.case for part in validation], tile_size=size, scheme=scheme),
    )


View = Callable[[Recipe, Cache, Sequence[Part], Sequence[Part]], tuple[TrainingSet, ValidationSet]]
VIEWS: Mapping[int, View] = {2: _slice_views, 3: _patch_views}
