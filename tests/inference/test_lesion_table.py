"""The lesion table and the mask's clean-up, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.inference.lesion_table import find_lesions, joined
from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.postprocessing import clean_labels
from metseg.inference.prediction import Prediction
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import Lesion
from metseg.measure import ConfidenceMap
from metseg.recipe import PredictPart
from metseg.volume import Case, Volume

BINARY = LABEL_SCHEMES["binary"]


def test_regions_of_neighbouring_slices_that_overlap_are_one_lesion() -> None:
    labels = np.zeros((6, 5, 4), dtype=np.uint8)
    labels[1:3, 1:3, 0] = 1  # four pixels
    labels[2:4, 2, 1] = 1  # two pixels, of which (2, 2) overlaps them
    labels[3:5, 3, 2] = 1  # two pixels that touch those by a corner only: not one place
    labels[1, 1, 3] = 1  # one place with the first, but two slices lie between them
    probability = np.zeros(labels.shape, dtype=np.float32)
    probability[1:3, 1:3, 0] = [[0.9, 0.7], [0.8, 0.6]]
    probability[2:4, 2, 1] = 0.6
    probability[:, :, 2:] = 0.5
    (first, second, third), _ = find_lesions(labels, probability, None, BINARY, slicewise=True)
    assert (first.id, first.voxels, first.slice_index, first.slices, first.label) == (1, 6, 0, (0, 1), "lesion")
    assert (first.slice_voxels, first.slice_centre) == (4, (1.5, 1.5))
    assert first.centre_voxel == pytest.approx((11 / 6, 10 / 6, 2 / 6), abs=1e-3)
    assert first.confidence == pytest.approx((0.9 + 0.7 + 0.8 + 0.6 + 0.6 + 0.6) / 6)
    assert (second.voxels, second.slice_index, second.slices, second.centre_voxel) == (2, 2, (2,), (3.5, 3.0, 2.0))
    assert (third.voxels, third.slice_index, third.slices) == (1, 3, (3,))
    assert first.volume_ml is first.longest_diameter_mm is first.longest_axial_diameter_mm is first.centre_mm is None


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_stack_in_parts_has_the_lesions_of_the_whole(step: int) -> None:
    """Nine slices whose lesions begin, end, split and meet again at the seams of the parts."""
    labels = np.zeros((12, 6, 9), dtype=np.uint8)
    labels[1:3, 1:3, 0:4] = 1  # four slices
    labels[6:8, 1, 2:7] = labels[6:8, 4, 2:7] = 1  # two arms ...
    labels[6:8, 1:5, 7] = 1  # ... that meet in slice 7
    labels[10, 2, 8] = 1
    probability = np.full(labels.shape, 0.75, dtype=np.float32)
    whole, _ = find_lesions(labels, probability, None, BINARY, slicewise=True)
    assert [(lesion.voxels, lesion.slices) for lesion in whole] == [
        (28, (2, 3, 4, 5, 6, 7)),
        (16, (0, 1, 2, 3)),
        (1, (8,)),
    ]
    report = report_in_parts(labels, probability, step)
    found = report.document()["lesions"]
    assert [lesion["id"] for lesion in found] == [1, 2, 3]
    for got, expected in zip(found, whole, strict=True):
        assert (got["voxels"], got["slices"]) == (expected.voxels, list(expected.slices))
        assert (got["slice_voxels"], got["slice_index"]) == (expected.slice_voxels, expected.slice_index)
        assert got["centre_voxel"] == pytest.approx(expected.centre_voxel, abs=2e-3)
        assert got["confidence"] == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_regions_of_slices_with_others_missing_between_are_two_lesions(step: int) -> None:
    """Five slices with one column through all; slices are missing before the third."""
    labels = np.zeros((6, 6, 5), dtype=np.uint8)
    labels[2:4, 2:4, :] = 1
    probability = np.full(labels.shape, 0.75, dtype=np.float32)
    gaps = (False, False, True, False, False)
    whole, _ = find_lesions(labels, probability, None, BINARY, slicewise=True, gaps=gaps)
    assert [(lesion.voxels, lesion.slices) for lesion in whole] == [(12, (2, 3, 4)), (8, (0, 1))]
    found = report_in_parts(labels, probability, step, gaps).document()["lesions"]
    assert [(lesion["voxels"], lesion["slices"]) for lesion in found] == [(12, [2, 3, 4]), (8, [0, 1])]


def report_in_parts(labels: np.ndarray, probability: np.ndarray, step: int, gaps: tuple[bool, ...] = ()) -> CaseReport:
    """Return the report of a stack that was predicted in parts of so many slices."""
    report = CaseReport("case", "model")
    names = tuple(f"s{z}" for z in range(labels.shape[2]))
    whole = Case("case", "p", {"t2f": Volume(labels)}, slice_names=names, slice_gaps=gaps)
    for first in range(0, labels.shape[2], step):
        part, chances = (array[:, :, first : first + step] for array in (labels, probability))
        case = whole.take_slices(range(first, first + part.shape[2]))
        lesions, instances = find_lesions(part, chances, None, BINARY, slicewise=True, gaps=case.slice_gaps)
        report.add(Prediction(case, part, chances, lesions, instances, {}, (), model="m", scheme="binary"))
    return report


@pytest.mark.parametrize(("step", "seed"), [(1, 0), (2, 1), (3, 2), (7, 3)])
def test_a_random_stack_in_many_parts_has_the_lesions_of_the_whole(step: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 20, 60), dtype=np.uint8)
    for x, y, z in rng.integers(0, (22, 18, 60), size=(400, 3)):
        labels[x : x + rng.integers(1, 5), y : y + rng.integers(1, 3), z : z + rng.integers(1, 4)] = 1
    probability = rng.random(labels.shape, dtype=np.float32)
    whole, _ = find_lesions(labels, probability, None, BINARY, slicewise=True)
    found = report_in_parts(labels, probability, step).lesions
    assert len(whole) > 20

    def facts(lesion: Lesion) -> tuple[object, ...]:
        return lesion.voxels, lesion.slices, lesion.slice_index, lesion.slice_voxels, lesion.slice_centre

    assert sorted(map(facts, found)) == sorted(map(facts, whole))
    for got, expected in zip(sorted(found, key=facts), sorted(whole, key=facts), strict=True):
        assert got.confidence == pytest.approx(expected.confidence, abs=0.005)
        assert got.centre_voxel == pytest.approx(expected.centre_voxel, abs=0.02)


def test_lesions_are_joined_once_for_each_seam_they_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty lesions of one slice in each of forty parts, and one that runs through all: 39 joins, one a seam."""
    labels = np.zeros((40, 34, 40), dtype=np.uint8)
    for z in range(40):
        labels[1:40:2, (2 if z % 2 else 4), z] = 1  # never at the place of those before
    labels[:, 30, :] = 1
    seen: list[int] = []

    def counted(one: Lesion, two: Lesion) -> Lesion:
        seen.append(two.voxels)
        return joined(one, two)

    monkeypatch.setattr("metseg.inference.outputs.case_document.joined", counted)
    report = report_in_parts(labels, np.full(labels.shape, 0.75, dtype=np.float32), 1)
    assert seen == [40] * 39
    assert len(report.lesions) == 40 * 20 + 1


def test_lesions_of_volumes_are_measured() -> None:
    labels = np.zeros((10, 10, 6), dtype=np.uint8)
    labels[2:4, 3:6, 1:3] = 1  # 2 x 3 x 2 voxels of 1 x 2 x 3 mm: 2 x 6 x 6 mm
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 10, 20, 30
    (lesion,), _ = find_lesions(labels, np.ones(labels.shape, np.float32), affine, BINARY, slicewise=False)
    assert lesion.voxels == 12
    assert lesion.volume_ml == pytest.approx(12 * 6 / 1000)
    assert lesion.longest_diameter_mm == pytest.approx(np.sqrt(2**2 + 6**2 + 6**2), abs=1e-3)
    assert lesion.longest_axial_diameter_mm == pytest.approx(np.sqrt(2**2 + 6**2), abs=1e-3)
    assert lesion.centre_voxel == (2.5, 4.0, 1.5)
    assert lesion.centre_mm == (12.5, 28.0, 34.5)
    assert lesion.slice_index is None


def test_a_lesion_of_several_classes_is_named_by_the_most_important() -> None:
    scheme = LABEL_SCHEMES["brats-met-2023"]
    names = dict(scheme.classes)
    few, many = 3, 2  # enhancing tumour and oedema
    labels = np.zeros((5, 5, 1), dtype=np.uint8)
    labels[0, :2] = few
    labels[1, :3] = many
    (lesion,), _ = find_lesions(labels, np.ones(labels.shape, np.float32), None, scheme, slicewise=True)
    assert lesion.label == names[few] == "ET"
    assert lesion.voxels_by_label == {names[few]: 2, names[many]: 3}


def test_nothing_found() -> None:
    empty = np.zeros((3, 3, 1), np.uint8)
    lesions, instances = find_lesions(empty, empty.astype(np.float32), None, BINARY, slicewise=True)
    assert lesions == ()
    assert instances.shape == empty.shape
    assert not instances.any()


def test_small_pieces_and_holes() -> None:
    plain = np.zeros((9, 9, 1), dtype=np.uint8)
    plain[1:6, 1:6] = 1
    expected = plain.copy()
    plain[3, 3] = 0  # a hole
    plain[8, 8] = 1  # a speck
    np.testing.assert_array_equal(clean_labels(plain, PredictPart(), slicewise=True), plain)
    clean = clean_labels(plain, PredictPart(fill_holes=True, minimum_voxels=2), slicewise=True)
    np.testing.assert_array_equal(clean, expected)


def test_a_smallest_volume_counts_where_there_is_a_spacing() -> None:
    labels = np.zeros((8, 8, 2), dtype=np.uint8)
    labels[1:4, 1, 0] = 1  # three voxels
    labels[6, 6, 1] = 1  # one
    part = PredictPart(minimum_mm3=5.0)
    assert clean_labels(labels, part, slicewise=False).sum() == 4  # nobody knows how large a voxel is
    assert clean_labels(labels, part, slicewise=False, voxel_mm3=2.0).sum() == 3
    assert clean_labels(labels, part, slicewise=False, voxel_mm3=5.0).sum() == 4
    both = PredictPart(minimum_mm3=5.0, minimum_voxels=4)
    assert clean_labels(labels, both, slicewise=False, voxel_mm3=5.0).sum() == 0


def test_confidences_are_calibrated_where_there_is_a_map() -> None:
    labels = np.ones((2, 2, 1), dtype=np.uint8)
    probability = np.full(labels.shape, 0.5, np.float32)
    (plain,), _ = find_lesions(labels, probability, None, BINARY, slicewise=True)
    (mapped,), _ = find_lesions(labels, probability, None, BINARY, slicewise=True, confidence=ConfidenceMap(2.0, -1.0))
    assert plain.confidence == 0.5
    assert mapped.confidence == pytest.approx(1 / (1 + np.e), abs=1e-4)  # the logit of a half is 0


def test_small_is_counted_slice_by_slice_for_pictures() -> None:
    labels = np.zeros((4, 4, 3), dtype=np.uint8)
    labels[1, 1] = 1  # one pixel in each of three slices
    part = PredictPart(minimum_voxels=3)
    assert clean_labels(labels, part, slicewise=False).sum() == 3
    assert clean_labels(labels, part, slicewise=True).sum() == 0


def test_only_the_largest_piece_is_kept_through_all_slices() -> None:
    labels = np.zeros((6, 6, 3), np.uint8)
    labels[0, 0, :] = 1  # three slices, one pixel each: the largest of the case, not of any slice
    labels[4:, 4, 1] = 1
    kept = clean_labels(labels, PredictPart(keep_largest=True), slicewise=True)
    assert kept.sum() == 3
    assert kept[0, 0].all()
    assert not clean_labels(np.zeros_like(labels), PredictPart(keep_largest=True), slicewise=True).any()


def test_the_typical_voxel_of_a_ring_is_in_its_most_important_class() -> None:
    """Enhancing tumour around a necrotic core, in oedema: the centre of mass is in the core."""
    x, y, z = np.indices((21, 21, 21)) - 10
    away = np.sqrt(x**2 + y**2 + z**2)
    labels = np.select([away < 4, away < 7, away < 9], [1, 3, 2], default=0).astype(np.uint8)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    (lesion,), _ = find_lesions(
        labels, np.ones(labels.shape, np.float32), affine, LABEL_SCHEMES["brats-met-2023"], slicewise=False
    )
    assert labels[tuple(np.rint(lesion.centre_voxel).astype(int))] == 1
    assert lesion.typical_voxel is not None
    assert labels[lesion.typical_voxel] == 3
    assert lesion.typical_mm == tuple(affine[:3, :3] @ lesion.typical_voxel)
    assert lesion.shown_voxel == lesion.typical_voxel


def test_the_typical_voxel_of_pictures_is_in_the_largest_region() -> None:
    labels = np.zeros((12, 12, 3), dtype=np.uint8)
    labels[1:4, 1:4, 0] = 1
    labels[1:10, 1:10, 1] = 1
    labels[3:8, 3:8, 1] = 0
    (lesion,), _ = find_lesions(
        labels, np.ones(labels.shape, np.float32), None, LABEL_SCHEMES["binary"], slicewise=True
    )
    assert lesion.typical_voxel is not None
    assert labels[lesion.typical_voxel] == 1
    assert lesion.typical_voxel[2] == lesion.slice_index == 1
    assert lesion.typical_mm is None
