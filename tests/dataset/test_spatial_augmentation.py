"""Where spatial augmentation moves things: hand-checked, and against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from metseg.dataset import AUGMENTATIONS, Augmenter
from metseg.dataset.augmentation import SpatialMap, apply_map
from metseg.errors import UsageError
from metseg.random_fields import elastic_displacement
from metseg.recipe import Named

SPATIAL = [name for name, spec in AUGMENTATIONS.items() if spec.change_map is not None]


def augment(name: str, image: np.ndarray, rng, labels: np.ndarray | None = None, **options: object):
    """Return image (X, Y[, Z]) and labels after one step that is certain to be applied."""
    labels = np.zeros(image.shape, np.uint8) if labels is None else labels
    augmenter = Augmenter([Named(name=name, options={"probability": 1, **options})], dimensions=image.ndim)
    moved, mask = augmenter(torch.from_numpy(image.astype(np.float32))[None], torch.from_numpy(labels), rng)
    return moved[0].numpy(), mask.numpy()


def smooth_image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3).astype(np.float32)


def ball(shape: tuple[int, ...], radius: float, centre: tuple[float, ...] | None = None) -> np.ndarray:
    centre = centre or tuple((size - 1) / 2 for size in shape)
    grid = np.indices(shape)
    return sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)) <= radius**2


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize(
    ("shape", "radius", "centre"),
    [((96, 80), 17, None), ((97, 131), 20, (5.0, 120.0)), ((48, 52, 46), 18, None), ((28, 30, 5), 9, (4.0, 4.0, 2.0))],
    ids=["2D", "2D at the edge", "3D", "3D flat at the edge"],
)
def test_image_and_mask_move_together(name, shape, radius, centre):
    mask = ball(shape, radius, centre)
    for seed in range(4):
        image, labels = augment(name, mask, np.random.default_rng(seed), mask.astype(np.uint8))
        assert labels.dtype == np.uint8
        assert dice(image > 0.5, labels == 1) > 0.97


def test_all_steps_together_move_image_and_mask_together():
    mask = ball((96, 80), 17, (60.0, 30.0))
    steps = [Named(name=name, options={"probability": 1}) for name in SPATIAL]
    augmenter = Augmenter(steps, dimensions=2)
    places = set()
    for seed in range(10):
        image, labels = augmenter(
            torch.from_numpy(mask.astype(np.float32))[None],
            torch.from_numpy(mask.astype(np.uint8)),
            np.random.default_rng(seed),
        )
        assert dice(image[0].numpy() > 0.5, labels.numpy() == 1) > 0.97
        places.add(tuple(np.round(ndimage.center_of_mass(labels.numpy())).astype(int)))
    assert len(places) > 5, "they have moved indeed"


@pytest.mark.parametrize("name", SPATIAL)
def test_masks_keep_their_class_ids(name):
    labels = np.zeros((40, 50), np.uint8)
    labels[10:30, 10:40], labels[14:22, 14:30], labels[16:20, 18:24] = 1, 3, 4
    for seed in range(5):
        _, moved = augment(name, smooth_image((40, 50)), np.random.default_rng(seed), labels)
        assert set(np.unique(moved)) == {0, 1, 3, 4}


def test_beyond_the_border_image_and_labels_continue(at_high):
    full = np.ones((10, 12), np.uint8)
    image, labels = augment("shift", full, at_high, full, share=0.5)
    assert image.min() == 1
    assert labels.min() == 1


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_flips_are_exact(shape, axes, at_high):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 4, shape, dtype=np.uint8)
    moved, mask = augment("flip", image, at_high, labels, axes=axes, axis_probability=1)
    assert np.array_equal(moved, np.flip(image, axes))
    assert np.array_equal(mask, np.flip(labels, axes))


def test_flips_in_three_dimensions_are_exact(at_high):
    image = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    moved, _ = augment("flip", image, at_high, axes=(0, 2), axis_probability=1)
    assert np.array_equal(moved, image[::-1, :, ::-1])


def test_each_axis_is_flipped_as_often_as_said():
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    firsts = [
        augment("flip", image, np.random.default_rng(seed), axes=(0, 1), axis_probability=0.5)[0][0, 0]
        for seed in range(400)
    ]
    counts = [firsts.count(corner) for corner in (0, 2, 3, 5)]  # neither, second, first, both
    assert sum(counts) == 400
    assert min(counts) > 70


@pytest.mark.parametrize(("axes", "dimensions"), [((2,), 2), ((-1,), 2), ((3,), 3)])
def test_axes_that_are_not_there_are_refused(axes, dimensions):
    with pytest.raises(UsageError, match="flip"):
        Augmenter([Named(name="flip", options={"axes": axes})], dimensions=dimensions)


@pytest.mark.parametrize("shape", [(31, 31), (32, 32)])
def test_a_quarter_turn_takes_x_to_minus_y(shape, at_high):
    """The picture's right side goes up, for y points down in pictures: the turn is to the left as one looks at it."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, shape, dtype=np.uint8)
    moved, mask = augment("rotate", image, at_high, labels, degrees=90)
    assert moved == pytest.approx(np.rot90(image, -1, axes=(0, 1)), abs=1e-4)
    assert np.array_equal(mask, np.rot90(labels, -1, axes=(0, 1)))


@pytest.mark.parametrize("shape", [(41, 41), (40, 57)])
@pytest.mark.parametrize("degrees", [10.0, 33.0])
def test_rotation_is_scipys(shape, degrees, at_high, at_low):
    image = smooth_image(shape)
    for rng, sign in ((at_high, 1), (at_low, -1)):
        moved, _ = augment("rotate", image, rng, degrees=degrees)
        wanted = ndimage.rotate(image, -sign * degrees, axes=(0, 1), reshape=False, order=1, mode="nearest")
        assert moved == pytest.approx(wanted, abs=1e-4)


def test_rotation_in_three_dimensions_is_about_each_axis_in_turn(at_high):
    image = np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
    moved, _ = augment("rotate", image, at_high, degrees=90)
    wanted = image
    for axes in ((0, 1), (0, 2), (1, 2)):
        wanted = np.rot90(wanted, -1, axes=axes)
    assert moved == pytest.approx(wanted, abs=1e-4)


def test_shift_reads_from_further_on(at_high, at_low):
    image = np.zeros((8, 12), np.float32)
    image[5, 6] = 1
    moved, mask = augment("shift", image, at_high, image.astype(np.uint8), share=0.25)  # 2 and 3 voxels
    assert np.argwhere(moved > 0.99).tolist() == np.argwhere(mask).tolist() == [[3, 3]]
    moved, _ = augment("shift", image, at_low, share=0.25)
    assert np.argwhere(moved > 0.99).tolist() == [[7, 9]]


def test_shift_is_scipys(at_high):
    image = smooth_image((20, 30, 10))
    moved, _ = augment("shift", image, at_high, share=0.13)
    wanted = ndimage.shift(image, (-2.6, -3.9, -1.3), order=1, mode="nearest")
    assert moved == pytest.approx(wanted, abs=1e-5)


def test_zoom_by_two_doubles_distances_from_the_centre(at_high):
    image = np.zeros((11, 11), np.float32)
    image[6, 3] = 1  # (+1, -2) from the centre
    moved, _ = augment("zoom", image, at_high, low=1, high=2)
    assert np.argwhere(moved > 0.99).tolist() == [[7, 1]]
    assert moved.sum() == pytest.approx(4, abs=1e-4)


def test_zoom_scales_areas_and_volumes(at_high, at_low):
    disc = ball((101, 101), 20).astype(np.uint8)
    _, larger = augment("zoom", disc, at_high, disc, low=0.5, high=1.5)
    _, smaller = augment("zoom", disc, at_low, disc, low=0.5, high=1.5)
    assert larger.sum() / disc.sum() == pytest.approx(2.25, rel=0.02)
    assert smaller.sum() / disc.sum() == pytest.approx(0.25, rel=0.04)
    sphere = ball((41, 41, 41), 10).astype(np.uint8)
    _, larger = augment("zoom", sphere, at_high, sphere, low=0.5, high=1.5)
    assert larger.sum() / sphere.sum() == pytest.approx(3.375, rel=0.03)


def test_shear_by_45_degrees_makes_a_line_a_diagonal(at_high):
    image = np.zeros((7, 7), np.float32)
    image[3, :] = 1  # the line x = centre
    moved, _ = augment("shear", image, at_high, degrees=45)
    assert moved == pytest.approx(np.eye(7)[::-1], abs=1e-5)  # x - centre = -(y - centre)


def test_shear_is_scipys(at_high):
    image = smooth_image((30, 40))
    moved, _ = augment("shear", image, at_high, degrees=8)
    matrix = np.array([[1, np.tan(np.deg2rad(8))], [0, 1]])
    centre = np.array([14.5, 19.5])
    wanted = ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="nearest")
    assert moved == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("shape", [(60, 50), (24, 30, 20)])
def test_elastic_is_the_warp_of_the_same_displacement(shape):
    image = smooth_image(shape)
    moved, _ = augment("elastic", image, np.random.default_rng(5), amplitude_voxels=1.5, scale_voxels=10)
    twin = np.random.default_rng(5)
    twin.random()  # the draw that decides whether the step is applied
    displacement = elastic_displacement(shape, amplitude_voxels=1.5, scale_voxels=10, rng=twin)
    coordinates = np.indices(shape) + displacement
    wanted = ndimage.map_coordinates(image, coordinates, order=1, mode="nearest")
    assert moved == pytest.approx(wanted, abs=1e-4)
    assert np.abs(moved - image).max() > 0.01


def test_steps_act_one_after_the_other_in_one_interpolation(at_high):
    image = smooth_image((81, 81))
    options = {"rotate": {"degrees": 20}, "shear": {"degrees": 10}, "zoom": {"low": 1, "high": 1.3}}
    steps = [Named(name=name, options={"probability": 1, **chosen}) for name, chosen in options.items()]
    together, _ = Augmenter(steps, dimensions=2)(
        torch.from_numpy(image)[None], torch.zeros(81, 81, dtype=torch.uint8), at_high
    )
    singly = image
    for name, chosen in options.items():
        singly, _ = augment(name, singly, at_high, **chosen)
    inner = (slice(20, 61), slice(20, 61))
    assert together[0].numpy()[inner] == pytest.approx(singly[inner], abs=0.02)
    assert np.corrcoef(together[0].numpy()[inner].ravel(), singly[inner].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("shape", [(9, 8), (6, 5, 4), (1, 7), (2, 2)])
def test_a_map_that_moves_nothing_changes_nothing(shape):
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32))
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8))
    still = SpatialMap(shape)
    assert not still.interpolates
    same = apply_map(image, labels, still)
    assert torch.equal(same[0], image)
    assert torch.equal(same[1], labels)
    barely = SpatialMap(shape)
    barely.shift_voxels += 1e-9  # goes through the interpolation
    assert barely.interpolates
    moved, mask = apply_map(image, labels, barely)
    assert moved.numpy() == pytest.approx(image.numpy(), abs=1e-4)
    assert torch.equal(mask, labels)
