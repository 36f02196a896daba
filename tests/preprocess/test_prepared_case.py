from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import GeometryError, InputError
from metseg.preprocess.prepared_case import Record, stack_case
from metseg.volume import Case, Volume


def test_modalities_in_the_order_asked_for(make_case):
    image = np.arange(3 * 2 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2, 2)
    prepared = stack_case(make_case(image), ("t1c", "t1n"))
    assert prepared.modalities == ("t1c", "t1n")
    assert np.array_equal(prepared.image, image[[2, 0]])
    assert prepared.full_scale == 255


def test_all_modalities_by_default(make_case):
    assert stack_case(make_case(np.zeros((2, 3, 3, 1), np.uint8))).modalities == ("t1n", "t2f")


def test_missing_sequence_is_named(make_case):
    with pytest.raises(InputError, match=r"case: missing sequence t2w .*got t1n, t2f") as caught:
        stack_case(make_case(np.zeros((2, 3, 3, 1), np.uint8)), ("t1n", "t2w"))
    assert caught.value.code == "input.missing_sequence"


@pytest.mark.parametrize("which", ["image", "labels"])
def test_shapes_have_to_agree(which):
    small, large = Volume(np.zeros((3, 3, 1), np.uint8)), Volume(np.zeros((3, 4, 1), np.uint8))
    images = {"t1n": small, "t2f": large if which == "image" else small}
    case = Case("c1", "p", images, large if which == "labels" else small)
    with pytest.raises(
        GeometryError, match=r"c1: .* is not on the grid of t1n \(expected \(3, 3, 1\), got \(3, 4, 1\)"
    ):
        stack_case(case)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.array([0, 255], np.uint8), np.uint8),
        (np.array([0, 60000], np.uint16), np.uint16),
        (np.array([0, 4095], np.int16), np.uint16),
        (np.array([-5, 4095], np.int16), np.float32),
        (np.array([0, 70000], np.int32), np.float32),
        (np.array([0.5, 1.0], np.float64), np.float32),
        (np.array([False, True]), np.uint8),
    ],
)
def test_types_keep_every_value(make_case, values, wanted):
    prepared = stack_case(make_case(values.reshape(2, 1, 1)))
    assert prepared.image.dtype == wanted
    assert prepared.image.ravel().tolist() == values.tolist()


def test_mixed_types_are_warned_of():
    images = {"t1n": Volume(np.full((1, 1, 1), 7, np.uint8)), "t2f": Volume(np.full((1, 1, 1), 700, np.uint16))}
    prepared = stack_case(Case("c", "p", images))
    assert prepared.image.ravel().tolist() == [7, 700]
    assert "different data types (uint8, uint16)" in prepared.warnings[0]


def test_label_values_that_do_not_fit_are_refused(make_case):
    with pytest.raises(InputError, match=r"not class ids \(0 to 255\)"):
        stack_case(make_case(np.zeros((1, 1, 1), np.uint8), np.array([[[300]]], np.int32)))


def test_record_survives_json():
    record = Record("resize", {"from": [3, 4], "size": [6, 8]})
    assert Record.from_json(record.to_json()) == record
