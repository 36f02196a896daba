"""Bounding boxes against numpy's own where."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.measure import bounding_box, grown, instance_boxes, shifted


def test_box_of_random_masks_is_that_of_the_nonzero_positions() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        mask = generator.random((5, 7, 6)) > 0.97
        positions = np.argwhere(mask)
        if not len(positions):
            assert bounding_box(mask) is None
            continue
        expected = tuple(
            slice(low, high + 1) for low, high in zip(positions.min(axis=0), positions.max(axis=0), strict=True)
        )
        assert bounding_box(mask) == expected


def test_empty_mask_has_no_box() -> None:
    assert bounding_box(np.zeros((3, 3, 3))) is None


def test_grown_stops_at_the_image() -> None:
    assert grown((slice(1, 2), slice(4, 5)), 3, (10, 6)) == (slice(0, 5), slice(1, 6))


def test_shifted_is_the_box_in_the_outer_image() -> None:
    assert shifted((slice(1, 2), slice(0, 3)), (slice(10, 20), slice(5, 9))) == (slice(11, 12), slice(5, 8))


def test_instance_boxes_in_order_and_gaps_refused() -> None:
    instances = np.zeros((4, 4, 1), dtype=np.uint32)
    instances[0, 0, 0], instances[2:4, 1, 0] = 2, 1
    assert instance_boxes(instances) == [
        (slice(2, 4), slice(1, 2), slice(0, 1)),
        (slice(0, 1), slice(0, 1), slice(0, 1)),
    ]
    with pytest.raises(ValueError, match="without gaps"):
        instance_boxes(instances * np.uint32(2))
