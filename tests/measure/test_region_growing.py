"""Regions grown from a point of a probability map."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.measure import grow_region

BLOB = np.s_[4:8, 4:8, 4:8]
SEED = (5, 5, 5)


def probability(inside: float, outside: float = 0.0) -> np.ndarray:
    found = np.full((20, 20, 20), outside, dtype=np.float32)
    found[BLOB] = inside
    return found


def test_the_threshold_is_half_of_the_seeds_probability_and_at_most_the_models() -> None:
    weak = grow_region(probability(0.3, 0.1), SEED, highest=0.5, most_voxels=100)
    assert (weak.threshold, np.count_nonzero(weak.mask)) == (pytest.approx(0.15), 64)
    strong = grow_region(probability(0.9), SEED, highest=0.2, most_voxels=100)
    assert strong.threshold == 0.2


def test_the_threshold_rises_until_the_region_is_small_enough() -> None:
    """The lesion is 0.3 in a brain of 0.2, which half of 0.3 would flood."""
    region = grow_region(probability(0.3, 0.2), SEED, highest=0.5, most_voxels=100)
    assert np.count_nonzero(region.mask) == 64
    assert 0.2 < region.threshold < 0.21
    assert region.mask[BLOB].all()


def test_a_click_into_the_background_does_not_flood_it() -> None:
    with pytest.raises(InputError) as caught:
        grow_region(probability(0.3, 0.2), (15, 15, 15), highest=0.5, most_voxels=100)
    assert caught.value.code == "input.region_size"


@pytest.mark.parametrize(("inside", "threshold"), [(0.0, None), (0.009, None), (0.3, 0.31)])
def test_a_seed_without_probability_is_refused(inside: float, threshold: float | None) -> None:
    with pytest.raises(InputError) as caught:
        grow_region(probability(inside), SEED, highest=0.5, most_voxels=100, threshold=threshold)
    assert caught.value.code == "input.no_probability"


def test_a_given_threshold_is_not_changed() -> None:
    assert np.count_nonzero(grow_region(probability(0.3), SEED, highest=0.5, most_voxels=64, threshold=0.1).mask) == 64
    with pytest.raises(InputError) as caught:
        grow_region(probability(0.3), SEED, highest=0.5, most_voxels=63, threshold=0.1)
    assert caught.value.code == "input.region_size"


def test_regions_that_do_not_touch_stay_apart() -> None:
    found = probability(0.9)
    found[10:12, 10:12, 10:12] = 0.9
    assert np.count_nonzero(grow_region(found, (10, 10, 10), highest=0.5, most_voxels=1000).mask) == 8
