"""The table of lesions against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.simulation import lesion_truth


def test_volumes_diameters_and_centre_by_hand() -> None:
    labels = np.zeros((8, 8, 8), dtype=np.uint8)
    labels[1:4, 2:5, 2:5] = 3
    labels[2, 3, 3] = 1
    labels[4, 2:5, 2:5] = 2
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 10, 20, 30
    (lesion,) = lesion_truth(labels, (labels > 0).astype(np.uint8), affine)
    assert (lesion.et_mm3, lesion.netc_mm3, lesion.snfh_mm3) == pytest.approx((26 * 6, 6, 9 * 6))
    assert lesion.core_mm3 == pytest.approx(27 * 6)
    assert lesion.centre_mm == pytest.approx((12.0, 26.0, 39.0))  # 10 + 2, 20 + 3 * 2, 30 + 3 * 3; oedema left out
    assert lesion.equivalent_diameter_mm == pytest.approx((6 * 162 / np.pi) ** (1 / 3))
    assert lesion.longest_diameter_mm == pytest.approx(np.sqrt(3**2 + 6**2 + 9**2))  # corner to corner of 3 x 6 x 9 mm


def test_lesions_are_told_apart_and_numbers_kept() -> None:
    labels = np.zeros((6, 6, 6), dtype=np.uint8)
    instances = np.zeros_like(labels)
    labels[0, 0, 0], instances[0, 0, 0] = 3, 3
    labels[4:, 4:, 4:], instances[4:, 4:, 4:] = 3, 1
    one, three = lesion_truth(labels, instances, np.eye(4))
    assert (one.lesion_id, one.et_mm3, three.lesion_id, three.et_mm3) == pytest.approx((1, 8, 3, 1))
    assert three.longest_diameter_mm == pytest.approx(np.sqrt(3))
