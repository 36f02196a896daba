"""Where windows lie: everything is covered, nothing is looked at in vain, and weights are MONAI's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map

from metseg.inference.windows.window_grid import gaussian_weights, place_windows, starts_along
from metseg.measure import bounding_box


@given(
    size=st.integers(1, 60), window=st.integers(1, 60), overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]), data=st.data()
)
@settings(max_examples=200, deadline=None)
def test_windows_along_an_axis_cover_the_stretch_and_stay_inside(size, window, overlap, data):
    window = min(window, size)
    low = data.draw(st.integers(0, size - 1))
    high = data.draw(st.integers(low + 1, size))
    starts = starts_along(low, high, size=size, window=window, overlap=overlap)
    covered = {voxel for start in starts for voxel in range(start, start + window)}
    assert set(range(low, high)) <= covered <= set(range(size))
    assert starts == sorted(set(starts))
    assert all(after - before <= max(1, window * (1 - overlap)) for before, after in itertools.pairwise(starts))


def test_windows_cover_the_mask_and_skip_what_is_empty():
    mask = np.zeros((40, 30, 20), dtype=bool)
    mask[5:8, 5:8, 5:8] = mask[30:33, 20:23, 12:15] = True
    places = list(place_windows(mask, (8, 8, 8), 0.5))
    covered = np.zeros_like(mask)
    for place in places:
        assert mask[place].any()
        assert covered[place].shape == (8, 8, 8)
        covered[place] = True
    assert covered[mask].all()
    assert not covered[15:25].any()
    starts = [place[0].start for place in places]
    assert starts == sorted(starts)


def test_a_mask_without_a_voxel_needs_no_window():
    assert bounding_box(np.zeros((3, 4, 5), dtype=bool)) is None
    assert list(place_windows(np.zeros((3, 4, 5), dtype=bool), (2, 2, 2), 0.5)) == []


@pytest.mark.parametrize("window", [(8, 8, 8), (5, 12, 7), (1, 6, 6)])
def test_weights_are_a_gaussian_of_an_eighth_of_the_side(window):
    ours = gaussian_weights(window, torch.device("cpu"))
    theirs = compute_importance_map(window, mode="gaussian", sigma_scale=0.125)
    large = ours > 2e-3  # both raise what is smaller, each to a limit of its own
    assert large.any()
    assert torch.allclose(ours[large], theirs[large], rtol=2e-3)
    assert float(ours.min()) > 0
