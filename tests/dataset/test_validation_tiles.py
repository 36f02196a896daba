"""Tiles: every voxel of the head once, so that what is counted in them is what the case holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.dataset import TileDataset, batches_of_one_shape, collate
from metseg.dataset.validation_tiles import covered, tiles
from metseg.labels import LABEL_SCHEMES

SCHEME = LABEL_SCHEMES["brats-gli-2021"]


def volume(shape: tuple[int, int, int], seed: int):
    """Return an image with air around a head that leaves one voxel on every side, and three classes in places."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.uint8)
    image[1:-1, 1:-1, 1:-1] = rng.integers(50, 200, [size - 2 for size in shape])
    labels = np.zeros(shape, np.uint8)
    labels[2:6, 2:5, 2:4] = rng.choice(np.array([0, 1, 2, 4], np.uint8), (4, 3, 2))
    return image, labels


@pytest.mark.parametrize("extent", [((0, 7), (2, 9), (1, 2)), ((3, 15), (0, 12), (5, 11)), ((0, 1), (0, 1), (0, 1))])
@pytest.mark.parametrize("size", [(4, 4, 4), (5, 12, 1), (99, 3, 2)])
def test_tiles_fill_an_extent_once(extent, size):
    count = np.zeros((16, 16, 16), int)
    for tile in tiles(extent, size):
        assert all(0 < stop - first <= limit for (first, stop), limit in zip(tile, size, strict=True))
        count[tuple(slice(*side) for side in tile)] += 1
    wanted = np.zeros_like(count)
    wanted[tuple(slice(*side) for side in extent)] = 1
    assert np.array_equal(count, wanted)


def test_tiles_are_as_few_and_as_equal_as_can_be():
    sides = [stop - first for ((first, stop), _, _) in tiles(((0, 155), (0, 1), (0, 1)), (96, 96, 96))]
    assert sides == [77, 78]


def test_tiles_together_are_the_cases(make_cache):
    cases = {"a": volume((12, 9, 8), 0), "b": volume((10, 9, 8), 1)}
    cache = make_cache(cases, dimensions=3, labels="brats-gli-2021")
    dataset = TileDataset(cache, [1, 0], tile_size=(4, 9, 5), scheme=SCHEME)
    again = [np.zeros((2, *image.shape), np.uint8) for image, _ in cases.values()]
    for number, (case, extent) in enumerate(dataset.items):
        image, labels, of = dataset[number]
        assert of == case
        assert tuple(labels.shape) == dataset.shapes()[number] == tuple(stop - first for first, stop in extent)
        box = tuple(slice(*side) for side in extent)
        assert not again[case][0][box].any()
        again[case][0][box] = image[0].numpy()
        again[case][1][box] = SCHEME.from_indices(labels.numpy())
    for (image, labels), (seen, truth) in zip(cases.values(), again, strict=True):
        assert np.array_equal(seen, image)
        assert np.array_equal(truth, labels)
    assert [item.case for item in dataset.items] == [1] * 4 + [0] * 6  # 8 and 10 voxels by 4, 7 by 9, 6 by 5
    assert torch.equal(dataset[0].image, dataset[0].image)


def test_a_lesion_outside_of_what_looks_like_the_head_is_covered(make_cache):
    image, labels = volume((12, 9, 8), 0)
    labels[11, 0, 7] = 1
    cache = make_cache({"a": (image, labels)}, dimensions=3, labels="brats-gli-2021")
    assert cache.entries[0].head_box == ((1, 11), (1, 8), (1, 7))
    assert covered(cache.entries[0]) == ((1, 12), (0, 8), (1, 8))


def test_batches_need_no_padding(make_cache):
    cache = make_cache({"a": volume((12, 9, 8), 0), "b": volume((9, 9, 8), 1)}, dimensions=3, labels="brats-gli-2021")
    dataset = TileDataset(cache, [0, 1], tile_size=(4, 4, 4), scheme=SCHEME)
    batches = batches_of_one_shape(dataset.shapes(), 3)
    assert sorted(number for batch in batches for number in batch) == list(range(len(dataset)))
    assert max(map(len, batches)) == 3
    voxels = 0
    for numbers in batches:
        batch = collate([dataset[number] for number in numbers])
        assert all(tuple(batch.labels.shape[1:]) == dataset.shapes()[number] for number in numbers)
        voxels += batch.labels.numel()
    assert voxels == 10 * 7 * 6 + 7 * 7 * 6
