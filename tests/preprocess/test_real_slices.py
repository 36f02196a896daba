"""One patient of the public slices: files as another reader sees them, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from metseg.io.case_discovery import find_cases
from metseg.preprocess.head_mask import head_mask
from metseg.preprocess.pipeline import prepare, restore
from metseg.preprocess.prepared_case import stack_case

pytestmark = pytest.mark.real
CHANNELS = ("t1n", "t2f", "t1c")


@pytest.fixture(scope="module")
def source(real_data):
    sources = find_cases(real_data / "lgg_flair_slices", channels=CHANNELS)
    return next(source for source in sources if source.case_id.startswith("TCGA_CS_4943"))


def test_clahe_of_the_files_themselves(source, make_recipe):
    result = prepare(source.load(), make_recipe({"name": "clahe"}, channels=CHANNELS)).image
    opencv = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8))
    pictures = [path for path in source.files if not path.stem.endswith("_mask")]
    assert result.shape[3] == len(pictures) == 20
    for z, path in enumerate(sorted(pictures, key=lambda path: int(path.stem.rsplit("_", 1)[1]))):
        picture = np.asarray(Image.open(path))
        for channel in range(3):
            wanted = opencv.apply(np.ascontiguousarray(picture[:, :, channel]))
            assert np.array_equal(result[channel, :, :, z].T, wanted)


def test_the_way_back_and_the_head(source, make_recipe):
    case = source.load()
    exact = prepare(case, make_recipe({"name": "crop_to_head", "square": True}, {"name": "zscore"}, channels=CHANNELS))
    assert np.array_equal(restore(exact.labels, exact.records), case.labels.data != 0)
    head = head_mask(stack_case(case).image)
    assert head[case.labels.data != 0].all()
    assert 0.2 < head.mean() < 0.7
    resized = prepare(case, make_recipe({"name": "resize", "size": [192, 192]}, channels=CHANNELS))
    back, truth = restore(resized.labels, resized.records) > 0, case.labels.data != 0
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.97
