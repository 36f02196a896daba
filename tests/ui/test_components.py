"""Pieces of masks, and what they amount to."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.ui.viewer.components import connected_pieces, counts_above, lesion_burden, number_instances


def test_corners_that_touch_are_one_piece() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    pieces, count = connected_pieces(mask)
    assert count == 2
    assert pieces[0, 0, 0] == pieces[1, 1, 1] != pieces[3, 3, 3]


def test_pieces_take_the_number_of_the_nearest_lesion() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[1:3, 1:3] = mask[7:9, 7:9] = True
    found = number_instances(mask, {5: (7.5, 7.5), 2: (1.5, 1.5)})
    assert found.at((1, 1)) == 2
    assert found.at((8, 8)) == 5
    assert found.at((5, 5)) is None


def test_pieces_that_the_service_counts_as_one_have_one_number() -> None:
    mask = np.zeros((10, 30), dtype=bool)
    mask[1:3, 1:3] = mask[1:3, 5:7] = mask[8, 25] = True
    found = number_instances(mask, {1: (1.5, 3.5), 2: (8, 25)})
    assert found.numbers.count(1) == 2
    assert np.count_nonzero(found.mask_of(1)) == 8


@pytest.mark.parametrize("centres", [{}, {1: (2.0, 2.0)}])
def test_nothing_found_is_nothing(centres: dict[int, tuple[float, float]]) -> None:
    found = number_instances(np.zeros((5, 5), dtype=bool), centres)
    assert found.at((2, 2)) is None
    assert not found.mask_of(1).any()


def test_burden() -> None:
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:3, 1:3, 1:3] = mask[6, 6, 6] = True
    burden = lesion_burden(mask, 0.001)
    assert (burden.lesions, burden.elements) == (2, 9)
    assert burden.volume_ml == pytest.approx(0.009)
    assert lesion_burden(mask[6], None).volume_ml is None
    assert lesion_burden(np.zeros((3, 3), dtype=bool), 0.001).volume_ml == 0


def test_counts_above_each_threshold() -> None:
    probability = np.array([0, 0.25, 0.5, 0.5, 0.99])
    counts = counts_above(np.rint(probability * 65535).astype(np.uint16))
    expected = [np.count_nonzero(probability >= step / 100 - 1e-5) for step in range(1, 100)]
    assert counts.tolist() == expected
