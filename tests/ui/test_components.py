"""Pieces of masks, and what they amount to."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.ui.viewer.components import connected_pieces, counts_above, lesion_burden


def test_corners_that_touch_are_one_piece() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    pieces, count = connected_pieces(mask)
    assert count == 2
    assert pieces[0, 0, 0] == pieces[1, 1, 1] != pieces[3, 3, 3]


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
