"""Patches: where they lie, what is in them, and that nothing is made up while there is image to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import ndimage

from metseg.dataset import Augmenter, BatchPlan, Draw, PatchDataset, PatchItem, patch_items
from metseg.dataset.augmentation import SpatialMap, apply_map
from metseg.dataset.patch_dataset import reachable
from metseg.labels import LABEL_SCHEMES
from metseg.random_fields import elastic_displacement
from metseg.recipe import Named

BINARY = LABEL_SCHEMES["binary"]
Box = tuple[slice, slice, slice]


def numbered(shape: tuple[int, int, int], lesions: Sequence[Box] = (), head: Box | None = None):
    """Return an image whose every voxel holds its own number, air being 0, and the labels of these boxes."""
    numbers = 1 + np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    image = np.zeros_like(numbers)
    image[head or np.s_[:, :, :]] = numbers[head or np.s_[:, :, :]]
    labels = np.zeros(shape, np.uint8)
    for box in lesions:
        labels[box] = 1
    return image, labels


def patches(cache, items, size, steps=(), seed=0) -> PatchDataset:
    named = [Named(name=name, options={"probability": 1, **options}) for name, options in steps]
    return PatchDataset(
        cache, items, patch_size=size, scheme=BINARY, augmenter=Augmenter(named, dimensions=3), seed=seed
    )


def start_of(image: torch.Tensor, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return where a patch of a numbered image begins."""
    x, y, z = np.unravel_index(int(image[0, 0, 0, 0]) - 1, shape)
    return int(x), int(y), int(z)


def test_a_patch_is_a_piece_of_the_volume_with_its_truth(make_cache):
    volume, labels = numbered((12, 10, 9), [np.s_[4:6, 3:7, 2:4]])
    dataset = patches(make_cache({"a": (volume, labels)}, dimensions=3), [PatchItem(0, None)], (5, 4, 6))
    for position in range(30):
        image, truth, case = dataset[Draw(0, 0, position)]
        assert (image.dtype, truth.dtype, case) == (torch.float32, torch.uint8, 0)
        box = tuple(slice(s, s + p) for s, p in zip(start_of(image, (12, 10, 9)), (5, 4, 6), strict=True))
        assert np.array_equal(image[0].numpy(), volume[box])
        assert np.array_equal(truth.numpy(), labels[box])


def test_patches_of_no_lesion_lie_anywhere_in_the_head(make_cache):
    shape = (12, 10, 12)
    cache = make_cache({"a": numbered(shape, head=np.s_[2:10, 1:9, 7:9])}, dimensions=3)
    assert cache.entries[0].head_box == ((2, 10), (1, 9), (7, 9))
    dataset = patches(cache, [PatchItem(0, None)], (6, 8, 4))
    # Within the head where there is room, around it where there is none.
    corners = {tuple(dataset._place(PatchItem(0, None), np.random.default_rng(k))) for k in range(200)}
    assert corners == {(x, 1, z) for x in (2, 3, 4) for z in (5, 6, 7)}
    assert dataset[Draw(0, 0, 0)].image.count_nonzero() > 0


def test_a_lesion_is_in_its_patch_and_not_always_in_the_middle(make_cache):
    image, labels = numbered((14, 14, 10), [np.s_[7:8, 6:7, 5:6]])
    dataset = patches(make_cache({"a": (image, labels)}, dimensions=3), [PatchItem(0, 0)], (8, 8, 4))
    seen = [np.argwhere(dataset[Draw(0, 0, position)].labels.numpy()) for position in range(400)]
    assert all(len(places) == 1 for places in seen)
    found = np.concatenate(seen)
    # A quarter of 8, 8 and 4 voxels to either side of the middle; no place is left out.
    assert [sorted(set(column.tolist())) for column in found.T] == [[2, 3, 4, 5, 6], [2, 3, 4, 5, 6], [1, 2, 3]]


def test_lesions_at_the_border_are_seen_without_padding(make_cache):
    shape = (12, 12, 12)
    image, labels = numbered(shape, [np.s_[0:1, 11:12, 0:1]])
    dataset = patches(make_cache({"a": (image, labels)}, dimensions=3), [PatchItem(0, 0)], (6, 6, 6))
    for position in range(50):
        patch, truth, _ = dataset[Draw(0, 0, position)]
        assert truth.sum() == 1
        assert len(patch.unique()) == 6**3, "no voxel is repeated"


def test_every_part_of_a_large_lesion_is_drawn(make_cache):
    image, labels = numbered((30, 6, 6), [np.s_[2:28, 2:4, 2:4]])
    dataset = patches(make_cache({"a": (image, labels)}, dimensions=3), [PatchItem(0, 0)], (4, 4, 4))
    starts = {start_of(dataset[Draw(0, 0, position)].image, (30, 6, 6))[0] for position in range(300)}
    assert starts >= set(range(1, 26))


def test_all_lesions_are_drawn_equally_often_whatever_their_size_and_patient(make_cache):
    large = numbered((12, 12, 12), [np.s_[1:9, 1:9, 1:9]])
    small = numbered((12, 12, 12), [np.s_[1:2, 1:2, 1:2], np.s_[5:6, 5:6, 5:6], np.s_[9:10, 3:4, 9:10]])
    healthy = numbered((12, 12, 12))
    cache = make_cache({"a": large, "b": small, "c": healthy}, dimensions=3)
    items = patch_items(cache, [0, 1, 2], lesion_share=0.5)
    dataset = patches(cache, items, (4, 4, 4))
    assert dataset.has_lesion().tolist() == [True] * 4 + [False] * 3
    plan = BatchPlan(dataset.has_lesion(), batch_size=4, steps=12, lesion_share=0.5, seed=0)
    draws = [draw for batch in plan for draw in batch]
    drawn = Counter(items[draw.item] for draw in draws)
    assert [drawn[PatchItem(case, lesion)] for case, lesion in ((0, 0), (1, 0), (1, 1), (1, 2))] == [6] * 4
    assert [drawn[PatchItem(case, None)] for case in range(3)] == [8] * 3
    for draw in draws:
        if items[draw.item].lesion is not None:
            assert dataset[draw].labels.any()
    assert patch_items(cache, [2, 0], lesion_share=None) == [PatchItem(2, None), PatchItem(0, None)]
    assert dataset.largest_shape() == (1, 4, 4, 4)


@pytest.mark.parametrize("steps", [(), [("flip", {"axes": (0, 1, 2), "axis_probability": 1})]])
def test_where_the_volume_is_smaller_its_edge_is_repeated(make_cache, steps):
    shape = (5, 4, 12)
    volume, labels = numbered(shape, [np.s_[4:5, 0:1, 3:9]])
    dataset = patches(make_cache({"a": (volume, labels)}, dimensions=3), [PatchItem(0, None)], (8, 7, 6), steps)
    padded = [np.pad(array, ((3, 3), (3, 3), (0, 0)), mode="edge") for array in (volume, labels)]
    wanted = [
        (x, y, z) for x in range(4) for y in range(4) for z in range(7)
    ]  # every place at which the patch holds all that there is along x and y
    for position in range(10):
        image, truth, _ = dataset[Draw(0, 0, position)]
        found = (image[0].numpy(), truth.numpy())
        if steps:
            found = tuple(np.flip(array) for array in found)
        assert any(
            all(np.array_equal(one, p[x : x + 8, y : y + 7, z : z + 6]) for one, p in zip(found, padded, strict=True))
            for x, y, z in wanted
        )


TURNS = [("rotate", {"degrees": 40}), ("shear", {"degrees": 10}), ("zoom", {"low": 0.7, "high": 1.2})]


def test_what_is_turned_into_a_patch_is_read_and_not_made_up(make_cache):
    """A ramp stays a ramp under every linear map, up to the corners; a repeated border would bend it."""
    x, y, z = np.indices((40, 40, 40))
    ramp = (x + 2 * y + 3 * z).astype(np.uint16)
    labels = np.zeros(ramp.shape, np.uint8)
    labels[20, 20, 20] = 1
    dataset = patches(make_cache({"a": (ramp, labels)}, dimensions=3), [PatchItem(0, 0)], (10, 10, 10), TURNS)
    slopes = set()
    for position in range(8):
        patch = dataset[Draw(0, 0, position)].image[0].double().numpy()
        for axis in range(3):
            bends = np.diff(patch, n=2, axis=axis)
            assert np.abs(bends).max() < 2e-3
        slopes.add(round(float(patch[1, 0, 0] - patch[0, 0, 0]), 2))
    assert len(slopes) > 5, "they have been turned indeed"


def test_a_map_reads_from_its_reach_what_it_would_read_from_the_whole_volume():
    shape, start = (12, 9, 7), (3, 14, 10)
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(2, 24, 28, 22)).astype(np.float32)
    labels = rng.integers(0, 3, volume.shape[1:], dtype=np.uint8)
    spatial_map = SpatialMap(shape)
    angle = np.deg2rad(25)
    spatial_map.matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    spatial_map.shift_voxels += [0.3, -1.2, 2.0]
    spatial_map.displacement = elastic_displacement(shape, amplitude_voxels=1.0, scale_voxels=6.0, rng=rng)
    extent = reachable(start, spatial_map.reach(), labels.shape)
    box = tuple(slice(low, stop) for low, stop in extent)
    assert all(0 <= low < stop <= size for (low, stop), size in zip(extent, labels.shape, strict=True))
    assert np.prod([stop - low for low, stop in extent]) < labels.size / 2, "only what is needed is read"
    origin = [first - low for first, (low, _) in zip(start, extent, strict=True)]
    image, truth = apply_map(
        torch.from_numpy(volume[:, *box].copy()), torch.from_numpy(labels[box].copy()), spatial_map, origin=origin
    )
    centre = ((np.array(shape) - 1) / 2).reshape(3, 1, 1, 1)
    places = np.tensordot(spatial_map.matrix, np.indices(shape) - centre, axes=1) + centre
    places += spatial_map.shift_voxels.reshape(3, 1, 1, 1) + spatial_map.displacement
    places += np.array(start).reshape(3, 1, 1, 1)
    for channel in range(2):
        wanted = ndimage.map_coordinates(volume[channel], places, order=1, mode="nearest")
        assert image[channel].numpy() == pytest.approx(wanted, abs=2e-4)
    nearest = ndimage.map_coordinates(labels, places, order=0, mode="nearest")
    assert np.mean(truth.numpy() == nearest) > 0.99  # ties between two voxels may go either way


def test_a_quarter_turn_reaches_as_far_as_it_turns():
    spatial_map = SpatialMap((3, 7))
    assert spatial_map.reach() == [(0, 3), (0, 7)]
    spatial_map.matrix = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert spatial_map.reach() == [(-2, 5), (2, 5)]
    spatial_map.shift_voxels += [1, 0.5]
    assert spatial_map.reach() == [(-1, 6), (2, 6)]
    spatial_map.displacement = np.zeros((2, 3, 7), np.float32)
    spatial_map.displacement[0, 1, 1] = -0.5
    assert spatial_map.reach() == [(-2, 6), (2, 6)]


def test_what_is_out_of_reach_of_the_volume_is_its_nearest_voxel():
    assert reachable((8, 0, 0), [(5, 9), (-9, -4), (0, 3)], (10, 6, 2)) == ((9, 10), (0, 1), (0, 2))


def test_a_draw_is_the_same_wherever_it_is_made(make_cache):
    image, labels = numbered((12, 12, 12), [np.s_[4:7, 4:7, 4:7]])
    cache = make_cache({"a": (image, labels)}, dimensions=3)
    steps = [("rotate", {}), ("elastic", {"scale_voxels": 6, "amplitude_voxels": 1}), ("noise", {})]

    def dataset(seed: int = 3) -> PatchDataset:
        return patches(cache, [PatchItem(0, 0), PatchItem(0, None)], (6, 6, 6), steps, seed)

    one, again = dataset(), dataset()
    for draw in (Draw(0, 1, 2), Draw(1, 2, 1)):
        torch.manual_seed(draw.epoch)
        np.random.seed(draw.epoch)
        again[Draw(1, 5, 5)]
        assert torch.equal(one[draw].image, again[draw].image)
        assert torch.equal(one[draw].labels, again[draw].labels)
    base = one[Draw(0, 1, 2)].image
    for other in (one[Draw(0, 2, 2)], one[Draw(0, 1, 3)], one[Draw(1, 1, 2)], dataset(seed=4)[Draw(0, 1, 2)]):
        assert not torch.equal(base, other.image)
