"""A volume in windows is the same volume: against sums over the whole volume, written plainly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metseg.inference.windows.sliding_window import slide
from metseg.inference.windows.window_grid import gaussian_weights, place_windows

CPU = torch.device("cpu")


def position_dependent(patch: torch.Tensor) -> torch.Tensor:
    """Return two outputs that depend on the image and on the place within the window."""
    ramp = torch.linspace(0, 1, patch.shape[2]).reshape(1, 1, -1, 1, 1)
    first = torch.sigmoid(patch[:, :1] + ramp + patch[:, 1:].mean())
    return torch.cat([1 - first, first], dim=1)


def plainly(image, inside, window, overlap):
    """Return the same by whole-volume sums."""
    sides = tuple(min(a, b) for a, b in zip(window, inside.shape, strict=True))
    weights = gaussian_weights(sides, CPU).numpy()
    sums, total = np.zeros((2, *inside.shape)), np.zeros(inside.shape)
    for place in place_windows(inside, sides, overlap):
        patch = torch.from_numpy(np.ascontiguousarray(image[(slice(None), *place)]))[None]
        sums[(slice(None), *place)] += position_dependent(patch)[0].numpy() * weights
        total[place] += weights
    return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)


def collected(image, inside, window, overlap):
    whole = np.zeros((2, *inside.shape), dtype=np.float32)
    seen = np.zeros(inside.shape[0], dtype=int)
    for slab in slide(position_dependent, image, inside, window=window, overlap=overlap, device=CPU):
        stretch = slice(slab.start, slab.start + slab.chances.shape[1])
        whole[:, stretch] = slab.chances.numpy()
        seen[stretch] += 1
    assert seen.max(initial=0) <= 1, "a row was finished twice"
    return whole


def blobs(shape, *corners, side=6):
    inside = np.zeros(shape, dtype=bool)
    for corner in corners:
        inside[tuple(slice(start, start + side) for start in corner)] = True
    return inside


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
@pytest.mark.parametrize(
    ("shape", "window"), [((33, 20, 17), (8, 8, 8)), ((9, 21, 6), (16, 8, 8)), ((5, 4, 3), (8, 8, 8))]
)
def test_slabs_make_the_whole(shape, window, overlap):
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    inside = np.ones(shape, dtype=bool)
    np.testing.assert_allclose(
        collected(image, inside, window, overlap), plainly(image, inside, window, overlap), atol=2e-6
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("change", ["read-only", "turned"])
def test_volumes_that_torch_takes_no_views_of(change):
    image = np.random.default_rng(2).normal(size=(2, 12, 10, 9)).astype(np.float32)
    inside = np.ones(image.shape[1:], dtype=bool)
    expected = plainly(image, inside, (8, 8, 8), 0.5)
    given = np.ascontiguousarray(image[..., ::-1])[..., ::-1] if change == "turned" else image
    given.flags.writeable = change != "read-only"
    np.testing.assert_allclose(collected(given, inside, (8, 8, 8), 0.5), expected, atol=2e-6)


def test_a_gap_longer_than_a_window_stays_empty():
    inside = blobs((60, 16, 16), (2, 3, 3), (45, 6, 8))
    image = np.random.default_rng(1).normal(size=(2, *inside.shape)).astype(np.float32)
    whole = collected(image, inside, (8, 8, 8), 0.5)
    np.testing.assert_allclose(whole, plainly(image, inside, (8, 8, 8), 0.5), atol=2e-6)
    assert not whole[:, 16:38].any()
    assert whole[0][inside].all()


def test_nothing_inside_is_nothing_out():
    inside = np.zeros((10, 10, 10), dtype=bool)
    image = np.zeros((2, *inside.shape), np.float32)
    assert not list(slide(position_dependent, image, inside, window=(4, 4, 4), overlap=0.5, device=CPU))
