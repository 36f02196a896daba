"""Masks become class ids: rounding noise is no lesion."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.labels import LABEL_SCHEMES, check_labels


@pytest.mark.parametrize(
    ("stored", "meant"),
    [([0, 1e-8], [0, 0]), ([0, 1e-8, 255], [0, 0, 1]), ([0, 0.99999997], [0, 1]), ([0, 254.9999], [0, 1])],
)
def test_rounding_noise_is_rounded_before_it_is_compared(stored, meant):
    assert check_labels(np.array(stored), LABEL_SCHEMES["binary"], where="mask").tolist() == meant
