"""Masks become class ids: rounding noise is no lesion."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.labels import LABEL_MAPS, LABEL_SCHEMES, check_labels, convert_labels, label_map


@pytest.mark.parametrize(
    ("stored", "meant"),
    [([0, 1e-8], [0, 0]), ([0, 1e-8, 255], [0, 0, 1]), ([0, 0.99999997], [0, 1]), ([0, 254.9999], [0, 1])],
)
def test_rounding_noise_is_rounded_before_it_is_compared(stored, meant):
    assert check_labels(np.array(stored), LABEL_SCHEMES["binary"], where="mask").tolist() == meant


#: Oedema, core that does not enhance, core that does; in 2015 what is necrotic and what only does not enhance.
GLIOMA_TRUTH = {
    "brats-gli-2021": ([2, 1, 4], [2, 1, 3]),
    "brats-gli-2023": ([2, 1, 3], [2, 1, 3]),
    "brats-2015": ([2, 1, 3, 4], [2, 1, 1, 3]),
    "decathlon-brain": ([1, 2, 3], [2, 1, 3]),
}


@pytest.mark.parametrize("wanted", ["brats-met-2023", "brats-met-2024"])
@pytest.mark.parametrize("files", GLIOMA_TRUTH)
def test_truths_of_gliomas_train_together_with_those_of_metastases(files, wanted):
    stored, expected = (np.array([0, *values], dtype=np.uint8) for values in GLIOMA_TRUTH[files])
    assert convert_labels(stored, label_map(files, wanted)).tolist() == expected.tolist()


@pytest.mark.parametrize("pair", LABEL_MAPS)
def test_a_map_keeps_every_region(pair):
    files, wanted = (LABEL_SCHEMES[name] for name in pair)
    stored = np.array(files.values, dtype=np.uint8)
    converted = convert_labels(stored, label_map(*pair))
    assert set(converted.tolist()) <= set(wanted.values)
    for region in files.regions:
        assert files.region_mask(stored, region).tolist() == wanted.region_mask(converted, region).tolist()
