"""crop, pad and resize, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metseg.errors import UsageError
from metseg.preprocess.cropping import put_back, take_window
from metseg.preprocess.pipeline import restore
from metseg.preprocess.prepared_case import Prepared, stack_case
from metseg.preprocess.steps import crop_to_head, pad_or_crop, resize
from metseg.volume import Case, Volume


def head_picture(shape: tuple[int, int, int] = (20, 24, 2)) -> np.ndarray:
    """A bright box, x 5..12 and y 8..19, on zero; the second slice's box is smaller."""
    data = np.zeros(shape, np.uint8)
    data[5:13, 8:20, 0] = 100
    data[6:8, 9:11, 1:] = 90
    return data


def test_crop_to_head_is_the_bounding_box_over_all_slices(make_case):
    data = head_picture()
    result = crop_to_head.apply(stack_case(make_case(data)), crop_to_head.Options())
    assert np.array_equal(result.image[0], data[5:13, 8:20])
    assert result.records[0].details == {"start": [5, 8, 0], "size": [8, 12, 2], "shape": [20, 24, 2]}


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"margin": 2}, (12, 16, 2)),
        ({"square": True}, (12, 12, 2)),
        ({"multiple": 16}, (16, 16, 2)),
        ({"margin": 1, "square": True, "multiple": 4}, (16, 16, 2)),
        ({"axes": "all", "multiple": 4}, (8, 12, 4)),
        ({"margin": 10}, (28, 32, 2)),
    ],
)
def test_window_sizes(make_case, options, size):
    data = head_picture()
    result = crop_to_head.apply(
        stack_case(make_case(data, (data > 95).astype(np.uint8))), crop_to_head.Options(**options)
    )
    assert result.grid == size
    assert int(result.image.sum()) == int(data.sum())  # nothing of the head lost, padding is background
    assert np.array_equal(result.labels, (result.image[0] > 95))


def test_crop_works_for_one_picture_and_for_an_empty_one(make_case):
    single = crop_to_head.apply(stack_case(make_case(head_picture()[:, :, :1])), crop_to_head.Options())
    assert single.grid == (8, 12, 1)
    empty = crop_to_head.apply(stack_case(make_case(np.full((6, 7, 1), 3, np.uint8))), crop_to_head.Options())
    assert empty.grid == (6, 7, 1)
    assert "no tissue found" in empty.warnings[0]


def test_labels_outside_the_head_are_warned_of(make_case):
    labels = np.zeros((20, 24, 2), np.uint8)
    labels[0, :3, 0] = 1
    result = crop_to_head.apply(stack_case(make_case(head_picture(), labels)), crop_to_head.Options())
    assert "3 labelled voxel(s) lie outside the head" in result.warnings[0]


def test_slices_with_names_are_neither_added_nor_dropped():
    volume = Volume(head_picture((20, 24, 3)))
    prepared = stack_case(Case("c", "p", {"t1n": volume}, slice_names=("a", "b", "c")))
    with pytest.raises(UsageError, match="pad_or_crop cannot change the number of slices"):
        pad_or_crop.apply(prepared, pad_or_crop.Options(size=(8, 8, 8)))


def test_pad_or_crop_by_hand():
    image = np.arange(1, 6, dtype=np.uint8).reshape(1, 5, 1, 1)
    cropped = pad_or_crop.apply(Prepared(image, ("t1n",)), pad_or_crop.Options(size=(2, 1)))
    assert cropped.image.ravel().tolist() == [2, 3]
    padded = pad_or_crop.apply(Prepared(image, ("t1n",)), pad_or_crop.Options(size=(8, 1)))
    assert padded.image.ravel().tolist() == [1, 1, 1, 2, 3, 4, 5, 1]  # filled with the channel's minimum
    assert restore(np.array([[[7]], [[8]]], np.uint8), cropped.records).ravel().tolist() == [0, 7, 8, 0, 0]


def test_affine_follows_the_voxels(make_case):
    affine = np.array([[0, -2.0, 0, 10], [3, 0, 0, 20], [0, 0, 5, 30], [0, 0, 0, 1]])
    data = head_picture()
    cropped = crop_to_head.apply(stack_case(make_case(data, affine=affine)), crop_to_head.Options())
    assert cropped.affine @ [0, 0, 0, 1] == pytest.approx(affine @ [5, 8, 0, 1])
    doubled = resize.apply(stack_case(make_case(data, affine=affine)), resize.Options(size=(40, 48)))
    # The outer corner of the first voxel stays where it was; voxels are half as large.
    assert doubled.affine @ [-0.5, -0.5, 0, 1] == pytest.approx(affine @ [-0.5, -0.5, 0, 1])
    assert doubled.affine @ [39.5, 47.5, 1, 1] == pytest.approx(affine @ [19.5, 23.5, 1, 1])


small = st.integers(1, 7)


@settings(max_examples=60, deadline=None)
@given(st.data(), small, small, small)
def test_a_window_put_back_is_exact_wherever_it_covered(data, x, y, z):
    array = data.draw(arrays(np.uint8, (x, y, z)))
    start = data.draw(st.tuples(*[st.integers(-9, 9)] * 3))
    size = data.draw(st.tuples(*[st.integers(1, 12)] * 3))
    back = put_back(take_window(array, start, size, fill=9), start, array.shape)
    covered = np.zeros(array.shape, bool)
    for index in np.ndindex(array.shape):
        covered[index] = all(s <= i < s + n for i, s, n in zip(index, start, size, strict=True))
    assert np.array_equal(back, np.where(covered, array, 0))


@settings(max_examples=30, deadline=None)
@given(
    labels=arrays(np.uint8, st.tuples(st.integers(3, 12), st.integers(3, 12), small), elements=st.integers(0, 4)),
    margin=st.integers(0, 4),
    square=st.booleans(),
    multiple=st.integers(1, 5),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_restored_labels_are_bit_exact_without_resampling(labels, margin, square, multiple, extra):
    image = (labels * 50)[None]
    prepared = crop_to_head.apply(
        Prepared(image, ("t1n",), labels, head=labels > 0),
        crop_to_head.Options(margin=margin, square=square, multiple=multiple),
    )
    x, y, _ = prepared.grid
    prepared = pad_or_crop.apply(prepared, pad_or_crop.Options(size=(x + extra[0], y + extra[1])))
    assert np.array_equal(restore(prepared.labels, prepared.records), labels)
    probabilities = np.stack([prepared.labels == k for k in (1, 2)]).astype(np.float32)
    assert np.array_equal(restore(probabilities, prepared.records), np.stack([labels == 1, labels == 2]))


def disc(size: int, radius: float) -> np.ndarray:
    x, y = np.ogrid[:size, :size]
    return (((x - size / 2) ** 2 + (y - size / 2.2) ** 2) < radius**2).astype(np.uint8)[..., None]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.logical_and(a, b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("size", [(50, 50), (200, 160), (77, 131)])
def test_a_disc_comes_back_from_a_resize(size):
    labels = disc(100, 20) * 4 + disc(100, 10) * 3  # classes 4 and, within it, 7
    prepared = resize.apply(Prepared(labels[None], ("t1n",), labels), resize.Options(size=size))
    assert set(np.unique(prepared.labels)) == {0, 4, 7}
    back = restore(prepared.labels, prepared.records)
    assert back.shape == labels.shape
    assert back.dtype == np.uint8
    assert dice(back == 7, labels == 7) > 0.95
    assert dice(back == 4, labels == 4) > 0.92  # a ring of ten pixels: twice the edge
    probabilities = (prepared.labels == 7).astype(np.float32)[None]
    assert dice(restore(probabilities, prepared.records)[0] > 0.5, labels == 7) > 0.95


def test_resize_is_opencv_per_slice(make_case):
    data = np.random.default_rng(0).integers(0, 255, (2, 30, 41, 3), dtype=np.uint8)
    for size, method in (((50, 60), cv2.INTER_LINEAR), ((20, 20), cv2.INTER_AREA)):
        result = resize.apply(stack_case(make_case(data)), resize.Options(size=size))
        assert result.grid == (*size, 3)
        picture = data[1, :, :, 2].T.astype(np.float32)
        wanted = cv2.resize(picture, size, interpolation=method)
        assert np.abs(result.image[1, :, :, 2].T - wanted).max() < 1e-3


def test_half_size_is_the_mean_of_four():
    image = np.array([[0, 4], [8, 0]], np.uint8).reshape(1, 2, 2, 1)
    assert resize.apply(Prepared(image, ("t1n",)), resize.Options(size=(1, 1))).image.ravel().tolist() == [3]


def test_resize_to_the_same_size_changes_nothing():
    labels = np.random.default_rng(0).integers(0, 3, (9, 7, 2), dtype=np.uint8)
    result = resize.apply(Prepared(labels[None], ("t1n",), labels), resize.Options(size=(9, 7)))
    assert np.array_equal(result.image[0], labels)
    assert np.array_equal(result.labels, labels)


def test_a_lesion_lost_to_larger_pixels_is_warned_of():
    labels = np.zeros((16, 16, 3), np.uint8)
    labels[4, 4, 1] = 1
    result = resize.apply(Prepared(labels[None], ("t1n",), labels), resize.Options(size=(4, 4)))
    assert result.warnings == ("resize: label 1 vanished from 1 slice(s), first 1",)
