"""What a recipe says of slices and patches, and what is then trained and validated on."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.dataset import Part, PatchDataset, SliceDataset, SliceItem, TileDataset, check_view, make_views
from metseg.errors import InputError, UsageError
from metseg.recipe import Recipe


def recipe(
    *,
    train: dict[str, object] | None = None,
    split: dict[str, object] | None = None,
    predict: dict[str, object] | None = None,
    **data: object,
) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "data": {"channels": ["t2f"], **data},
            "train": train or {},
            "split": split or {},
            "predict": predict or {},
            "model": {"name": "unet"},
        }
    )


def brain_in(slices: range, depth: int = 8):
    """Return an (9, 9, depth) image with tissue in some slices, and a lesion in the first of them."""
    image = np.zeros((9, 9, depth), np.uint8)
    image[2:7, 2:7, slices.start : slices.stop] = 100
    labels = np.zeros(image.shape, np.uint8)
    labels[4, 4, slices.start] = 1
    return image, labels


def items_of(dataset: object) -> dict[int, list[int]]:
    assert isinstance(dataset, SliceDataset)
    found: dict[int, list[int]] = {}
    for item in dataset.items:
        found.setdefault(item.case, []).append(item.z)
    return found


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({}, {0: [0, 1, 2, 3, 4, 5, 6, 7], 1: [0, 1, 2, 3]}),
        ({"slice_range": (3, 6)}, {0: [3, 4, 5], 1: [3]}),
        ({"with_brain": True}, {0: [2, 3, 4, 5], 1: [1, 2]}),
        ({"with_brain": True, "slice_range": (3, 99)}, {0: [3, 4, 5]}),
    ],
)
def test_training_slices_are_chosen_and_validation_sees_all(make_cache, data, wanted):
    cache = make_cache({"a": brain_in(range(2, 6)), "b": brain_in(range(1, 3), depth=4)}, **data)
    train, validation = make_views(recipe(**data), cache, [Part(0, None), Part(1, None)], [Part(1, None)])
    assert items_of(train) == wanted
    assert items_of(validation) == {1: [0, 1, 2, 3]}


def test_a_split_by_slice_is_kept(make_cache):
    cache = make_cache({"a": brain_in(range(2, 6))})
    train, validation = make_views(recipe(slice_range=(2, 5)), cache, [Part(0, (1, 3, 4, 6))], [Part(0, (0, 2))])
    assert items_of(train) == {0: [3, 4]}
    assert items_of(validation) == {0: [0, 2]}
    assert train.has_lesion().tolist() == [False, False]
    assert SliceItem(0, 2) in validation.items


def test_neighbours_come_along_in_both(make_cache):
    cache = make_cache({"a": brain_in(range(2, 6))})
    train, validation = make_views(recipe(neighbours=2), cache, [Part(0, None)], [Part(0, None)])
    assert train.largest_shape() == (5, 9, 9)
    assert validation[1].image[:, 4, 4].tolist() == [0, 0, 0, 100, 100]


def test_no_slice_left_is_an_error(make_cache):
    cache = make_cache({"a": brain_in(range(2, 6))})
    with pytest.raises(InputError, match="no slices are left to train on") as caught:
        make_views(recipe(slice_range=(50, 130)), cache, [Part(0, None)], [Part(0, None)])
    assert caught.value.code == "input.too_few"


def test_volumes_are_trained_on_in_patches_and_validated_in_tiles(make_cache):
    cache = make_cache({"a": brain_in(range(2, 6)), "b": brain_in(range(1, 3))}, dimensions=3)
    wanted = recipe(dimensions=3, train={"patch_size": (4, 4, 2), "lesion_share": 0.5})
    train, validation = make_views(wanted, cache, [Part(0, None)], [Part(1, None)])
    assert isinstance(train, PatchDataset)
    assert isinstance(validation, TileDataset)
    assert train.has_lesion().tolist() == [True, False]
    assert train.largest_shape() == (1, 4, 4, 2)
    assert {item.case for item in validation.items} == {1}
    assert sum(np.prod(shape) for shape in validation.shapes()) == 5 * 5 * 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"neighbours": 1}, "data.neighbours selects slices"),
        ({"slice_range": (0, 3)}, "data.slice_range selects slices"),
        ({"with_brain": True}, "data.with_brain selects slices"),
        ({"train": {"patch_size": (64, 64)}}, r"train.patch_size \[64, 64\] must have three sides"),
        ({"predict": {"window": (64,)}}, r"predict.window \[64\] must have three sides"),
        ({"split": {"by": "slice"}}, "cannot be used with a 3D network"),
    ],
)
def test_what_makes_no_sense_for_volumes_is_refused(parts, message):
    check_view(recipe(dimensions=3))
    check_view(recipe(**parts))
    with pytest.raises(UsageError, match=message) as caught:
        check_view(recipe(dimensions=3, **parts))
    assert caught.value.code == "usage.recipe"
