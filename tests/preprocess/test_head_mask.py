from __future__ import annotations

import numpy as np

from metseg.preprocess.head_mask import find_head, head_mask


def ellipse(shape: tuple[int, int, int]) -> np.ndarray:
    x, y, _ = np.ogrid[: shape[0], : shape[1], : shape[2]]
    inside = ((x - shape[0] / 2) / (shape[0] / 3)) ** 2 + ((y - shape[1] / 2) / (shape[1] / 2.5)) ** 2 < 1
    return np.broadcast_to(inside, shape)


def test_erased_background_is_exact_whatever_its_value():
    inside = ellipse((40, 50, 3))
    tissue = np.random.default_rng(0).normal(0, 1, inside.shape).astype(np.float32)
    tissue[tissue == 0] = 0.1
    assert np.array_equal(head_mask(np.where(inside, tissue, 0)[None]), inside)  # z-scored: 0 lies amid the tissue
    assert np.array_equal(head_mask(np.where(inside, tissue + 9, 0)[None]), inside)
    assert np.array_equal(head_mask(np.where(inside, tissue, tissue.min() - 5)[None]), inside)


def test_noise_is_not_tissue_and_holes_are():
    inside = ellipse((60, 70, 4))
    rng = np.random.default_rng(1)
    image = np.where(inside, rng.integers(60, 200, inside.shape), rng.integers(0, 5, inside.shape)).astype(np.uint8)
    image[28:33, 33:38] = 1  # a ventricle
    image[2, 2, 1] = 255  # a hot pixel
    image[52:56, 2:6, 1] = 255  # a piece of something beside the head
    found = head_mask(image[None])
    assert not found[2, 2, 1]
    assert not found[52:56, 2:6].any()
    assert found[30, 35].all()
    assert (found != inside).mean() < 0.01


def test_noise_around_zero_padding_is_not_tissue():
    """Pictures whose field of view was padded with zeros are not skull-stripped."""
    inside = ellipse((80, 80, 2))
    rng = np.random.default_rng(2)
    image = np.where(inside, rng.integers(60, 200, inside.shape), rng.integers(0, 5, inside.shape)).astype(np.uint8)
    image[:5], image[-5:], image[:, :5], image[:, -5:] = 0, 0, 0, 0
    assert (head_mask(image[None]) != inside).mean() < 0.01


def test_any_image_may_show_it_and_constant_ones_do_not():
    inside = ellipse((20, 20, 1))
    shown = np.where(inside, 50, 0).astype(np.uint8)
    assert np.array_equal(head_mask(np.stack([np.full_like(shown, 9), shown])), inside)
    assert not head_mask(np.zeros((2, 5, 5, 1), np.uint8)).any()
    assert not head_mask(np.full((1, 5, 5, 1), 7.5, np.float32)).any()


def test_a_dark_image_is_erased_where_one_beside_it_is():
    inside = ellipse((40, 50, 3))
    rng = np.random.default_rng(3)
    bright = np.where(inside, rng.integers(60, 200, inside.shape), 0).astype(np.float32)
    # As FLAIR with much fluid: a third of what is inside is as good as black.
    dark = np.where(inside, np.where(rng.random(inside.shape) < 0.33, 1, bright), 0).astype(np.float32)
    assert not find_head(dark[None]).erased
    for images in ([bright, dark], [dark, bright]):
        found = find_head(np.stack(images))
        assert found.erased
        assert np.array_equal(found.mask, inside)
    noisy = np.where(inside, bright, rng.integers(0, 5, inside.shape)).astype(np.float32)
    assert not find_head(np.stack([bright, noisy])).erased


def test_what_little_a_dark_image_shows_beyond_the_others_is_tissue_too():
    inside = ellipse((40, 50, 3))
    rng = np.random.default_rng(3)
    smaller = np.where(inside, rng.integers(60, 200, inside.shape), 0).astype(np.float32)
    smaller[:22][inside[:22] & (rng.random(inside[:22].shape) < 0.01)] = 0
    dark = np.where(inside, np.where(rng.random(inside.shape) < 0.33, 1, 150), 0).astype(np.float32)
    found = find_head(np.stack([smaller, dark]))
    assert found.erased
    assert np.array_equal(found.mask, inside)


def test_an_image_that_fills_its_volume_lends_no_background():
    inside = ellipse((40, 50, 3))
    rng = np.random.default_rng(4)
    full = rng.integers(100, 200, inside.shape).astype(np.float32)
    full[0, 0, 0] = 0
    noisy = np.where(inside, rng.integers(60, 200, inside.shape), rng.integers(0, 5, inside.shape)).astype(np.float32)
    assert not find_head(np.stack([full, noisy])).erased
