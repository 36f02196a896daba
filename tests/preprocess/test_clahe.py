from __future__ import annotations

import cv2
import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.preprocess.prepared_case import stack_case
from metseg.preprocess.steps import clahe
from metseg.recipe import validated


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(97, 131, 2), (64, 64, 1), (33, 200, 1)])
@pytest.mark.parametrize(("limit", "tiles"), [(2.0, (8, 8)), (3.5, (4, 7))])
def test_bit_equal_to_opencv_in_file_order(make_case, dtype, shape, limit, tiles):
    data = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    data[: shape[0] // 2] //= 5
    options = clahe.Options(clip_limit=limit, tiles=tiles)
    result = clahe.apply(stack_case(make_case(data)), options).image[0]
    opencv = cv2.createCLAHE(clipLimit=limit, tileGridSize=tiles)
    assert result.dtype == dtype
    for z in range(shape[2]):
        picture = np.ascontiguousarray(data[:, :, z].T)
        assert np.array_equal(result[:, :, z].T, opencv.apply(picture))


def test_the_order_of_rows_and_columns_matters():
    """On an odd picture the transposed result differs: file order is no matter of taste."""
    data = np.random.default_rng(2).integers(0, 255, (97, 131, 1), dtype=np.uint8)
    opencv = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8))
    in_file_order = clahe.equalise(data, clahe.Options())[:, :, 0]
    assert not np.array_equal(in_file_order, opencv.apply(data[:, :, 0]))


def test_only_the_named_modalities(make_case):
    data = np.random.default_rng(3).integers(0, 255, (2, 40, 40, 1), dtype=np.uint8)
    result = clahe.apply(stack_case(make_case(data)), clahe.Options(modalities=("FLAIR",))).image
    assert np.array_equal(result[0], data[0])
    assert not np.array_equal(result[1], data[1])


def test_modality_that_is_not_there(make_case):
    with pytest.raises(InputError, match="clahe: missing sequence t1c"):
        clahe.apply(stack_case(make_case(np.zeros((4, 4, 1), np.uint8))), clahe.Options(modalities=("t1c",)))


def test_whole_floats_are_16_bit_pictures(make_case):
    data = np.random.default_rng(4).integers(0, 4000, (40, 50, 1))
    as_float = clahe.apply(stack_case(make_case(data.astype(np.float32))), clahe.Options())
    as_integer = clahe.apply(stack_case(make_case(data.astype(np.uint16))), clahe.Options())
    assert np.array_equal(as_float.image, as_integer.image)
    assert as_float.full_scale == 65535


@pytest.mark.parametrize("value", [0.5, -1.0, 70000.0, np.nan])
def test_other_floats_are_refused(make_case, value):
    data = np.ones((4, 4, 1), np.float32)
    data[0, 0, 0] = value
    with pytest.raises(InputError, match="clahe needs whole numbers, 8 or 16 bit"):
        clahe.apply(stack_case(make_case(data)), clahe.Options())


def test_clip_limit_has_to_be_positive():
    with pytest.raises(UsageError, match="clip_limit"):
        validated(clahe.Options, {"clip_limit": 0}, where="here")
