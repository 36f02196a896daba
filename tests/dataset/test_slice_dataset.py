"""From cached cases to batches: hand-made numbers in, the same numbers out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.dataset import Augmenter, Draw, Sample, SliceDataset, SliceItem, collate
from metseg.labels import LABEL_SCHEMES
from metseg.recipe import Named

BINARY = LABEL_SCHEMES["binary"]
STEPS = [Named(name=name, options={"probability": 1}) for name in ("rotate", "noise")]


def case(values: list[int], shape: tuple[int, int] = (5, 4), lesion: dict[int, int] | None = None):
    """Return (X, Y, Z) image, values[z] in slice z but for a corner, and labels with ids at (1, 2)."""
    image = np.tile(np.array(values, np.uint8), (*shape, 1))
    image[-1, -1] = 255
    labels = np.zeros(image.shape, np.uint8)
    for z, label in (lesion or {}).items():
        labels[1, 2, z] = label
    return image, labels


@pytest.fixture
def cache(make_cache):
    return make_cache({"a": case([10, 20, 30], lesion={1: 255}), "b": case([40], shape=(3, 6)), "c": case([50, 60])})


def test_slices_are_what_was_cached(cache):
    dataset = SliceDataset(cache, [SliceItem(0, 2), SliceItem(1, 0), SliceItem(0, 1)], scheme=BINARY)
    assert len(dataset) == 3
    image, labels, number = dataset[0]
    assert (image.shape, image.dtype) == ((1, 5, 4), torch.float32)
    assert (labels.shape, labels.dtype) == ((5, 4), torch.uint8)
    assert number == 0
    assert image[0, 0, 0] == 30
    assert image[0, 4, 3] == 255
    assert labels.sum() == 0
    assert dataset[1].image.shape == (1, 3, 6)
    assert dataset[1].case == 1
    assert dataset[2].labels.nonzero().tolist() == [[1, 2]]
    assert dataset[2].labels.max() == 1


def test_which_slices_hold_lesion_is_known_without_reading(cache):
    chosen = [SliceItem(0, 0), SliceItem(0, 1), SliceItem(1, 0), SliceItem(2, 1)]
    dataset = SliceDataset(cache, chosen, scheme=BINARY)
    assert dataset.has_lesion().tolist() == [False, True, False, False]
    assert dataset.has_lesion().tolist() == [bool(dataset[k].labels.any()) for k in range(4)]
    assert dataset.largest_shape() == (1, 5, 6)


def test_class_ids_become_consecutive_indices(make_cache):
    cache = make_cache({"a": case([10, 20], lesion={0: 4, 1: 2})}, labels="brats-gli-2021")
    dataset = SliceDataset(cache, [SliceItem(0, 0), SliceItem(0, 1)], scheme=LABEL_SCHEMES["brats-gli-2021"])
    assert dataset[0].labels.unique().tolist() == [0, 3]  # 1, 2, 4 are 1, 2, 3
    assert dataset[1].labels.unique().tolist() == [0, 2]


def test_only_draws_are_augmented(cache):
    items = [SliceItem(0, 1)]
    plain = SliceDataset(cache, items, scheme=BINARY)
    augmented = SliceDataset(cache, items, scheme=BINARY, augmenter=Augmenter(STEPS, dimensions=2))
    assert torch.equal(augmented[0].image, plain[0].image)
    assert torch.equal(plain[Draw(0, 0, 0)].image, plain[0].image)
    assert not torch.equal(augmented[Draw(0, 0, 0)].image, plain[0].image)
    assert torch.equal(augmented[0].image, plain[0].image), "the cache is as it was"


def test_a_draw_is_the_same_wherever_it_is_made(cache):
    def dataset(seed: int = 3) -> SliceDataset:
        augmenter = Augmenter(STEPS, dimensions=2)
        return SliceDataset(cache, [SliceItem(0, 1), SliceItem(0, 1)], scheme=BINARY, augmenter=augmenter, seed=seed)

    one, again = dataset(), dataset()
    for draw in (Draw(0, 1, 2), Draw(0, 2, 1)):
        torch.manual_seed(draw.epoch)  # the global generators do not matter
        np.random.seed(draw.epoch)
        again[Draw(0, 5, 5)]  # nor what was drawn before
        assert torch.equal(one[draw].image, again[draw].image)
        assert torch.equal(one[draw].labels, again[draw].labels)
    base = one[Draw(0, 1, 2)].image
    assert torch.equal(base, one[Draw(1, 1, 2)].image), "the item decides on the slice only"
    assert not torch.equal(base, one[Draw(0, 2, 2)].image)
    assert not torch.equal(base, one[Draw(0, 1, 3)].image)
    assert not torch.equal(base, dataset(seed=4)[Draw(0, 1, 2)].image)


def test_neighbouring_slices_come_along_as_channels(cache):
    items = [SliceItem(0, 0), SliceItem(0, 1), SliceItem(1, 0)]
    dataset = SliceDataset(cache, items, scheme=BINARY, neighbours=1)
    assert [dataset[k].image[:, 0, 0].tolist() for k in range(3)] == [[10, 10, 20], [10, 20, 30], [40, 40, 40]]
    assert dataset[1].labels.nonzero().tolist() == [[1, 2]], "the truth is that of the slice itself"
    assert dataset.largest_shape() == (3, 5, 6)
    assert dataset.shapes() == [(5, 4), (5, 4), (3, 6)]


def test_collate_stacks_equal_sizes(cache):
    dataset = SliceDataset(cache, [SliceItem(2, 0), SliceItem(0, 1)], scheme=BINARY)
    batch = collate([dataset[0], dataset[1]])
    assert batch.image.shape == (2, 1, 5, 4)
    assert batch.image[:, 0, 0, 0].tolist() == [50, 20]
    assert (batch.labels.shape, batch.labels.dtype) == ((2, 5, 4), torch.uint8)
    assert batch.case.tolist() == [2, 0]


def test_collate_grows_smaller_ones_at_the_end():
    small = Sample(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[0, 0], [0, 2]], dtype=torch.uint8), 4)
    wide = Sample(torch.zeros(1, 1, 3), torch.ones(1, 3, dtype=torch.uint8), 5)
    batch = collate([small, wide])
    assert batch.image[0, 0].tolist() == [[1, 2, 2], [3, 4, 4]]
    assert batch.labels[0].tolist() == [[0, 0, 0], [0, 2, 0]]
    assert batch.image[1, 0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert batch.labels[1].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert batch.labels.dtype == torch.uint8


def test_collate_in_three_dimensions():
    one = Sample(torch.arange(4.0).reshape(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.uint8), 0)
    other = Sample(torch.zeros(1, 2, 2, 3), torch.zeros(2, 2, 3, dtype=torch.uint8), 1)
    batch = collate([one, other])
    assert batch.image[0, 0].tolist() == [[[0, 1, 1], [2, 3, 3]]] * 2
    assert batch.labels[0].tolist() == [[[1, 1, 0], [1, 1, 0]], [[0, 0, 0], [0, 0, 0]]]
