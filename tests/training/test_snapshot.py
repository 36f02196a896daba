"""Which slice stands for a patient."""

from __future__ import annotations

import numpy as np

from metseg.inference.prediction import Prediction
from metseg.training.snapshot import Snapshot, take_snapshot
from metseg.volume import Case, Volume

SHAPE = (6, 5, 4)


def snapshot_of(truth: np.ndarray, labels: np.ndarray) -> tuple[Snapshot, Case]:
    flair = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    images = {"t1n": Volume(np.zeros(SHAPE, np.uint8)), "t2f": Volume(flair)}
    names = tuple(str(z) for z in range(SHAPE[2]))
    case = Case("c", "p", images, Volume(truth), slice_names=names)
    chance = np.zeros(SHAPE, np.float32)
    return take_snapshot(
        Prediction(case, labels, chance, (), labels.astype(np.uint16), {}, (), "model", "binary")
    ), case


def test_the_slice_with_most_lesion_of_both_is_shown() -> None:
    truth, labels = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    truth[0:2, 0, 1] = 255  # slice 1: two voxels of truth
    labels[0:2, 0, 1] = 1  # and the same two predicted: a union of two
    truth[0, 0:2, 3] = 255  # slice 3: two of truth
    labels[3, 0:2, 3] = 1  # and two others predicted: a union of four
    shown, case = snapshot_of(truth, labels)
    assert shown.voxels == 4
    np.testing.assert_array_equal(shown.picture, case.images["t2f"].data[:, :, 3])
    np.testing.assert_array_equal(shown.truth, truth[:, :, 3] > 0)
    np.testing.assert_array_equal(shown.prediction, labels[:, :, 3] > 0)


def test_without_any_lesion_the_middle_is_shown() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    shown, case = snapshot_of(nothing, nothing)
    assert shown.voxels == 0
    np.testing.assert_array_equal(shown.picture, case.images["t2f"].data[:, :, 2])


def test_a_snapshot_keeps_no_volume_alive() -> None:
    shown, case = snapshot_of(np.ones(SHAPE, np.uint8), np.ones(SHAPE, np.uint8))
    assert not np.shares_memory(shown.picture, case.images["t2f"].data)
    assert shown.picture.base is None or shown.picture.base.size == shown.picture.size
