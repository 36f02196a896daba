"""Masks whose files differ in the order of their axes, in their place, or in what their numbers mean."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import GeometryError, InputError, UsageError
from metseg.evaluation import PredictionSets, ScoringConfig, evaluate_pairs, evaluate_sets
from metseg.evaluation.files.file_matching import match_files
from metseg.evaluation.files.folder_scoring import score_pair
from metseg.evaluation.files.serialization import scores_to_json
from metseg.evaluation.scores import CaseScores
from metseg.geometry import AxisTurn, axis_codes, turn_onto
from metseg.labels import LabelScheme

TURNS = [AxisTurn(order, flipped) for order in permutations(range(3)) for flipped in product((False, True), repeat=3)]
STRAIGHT = np.array([[-0.5, 0, 0, 12], [0, -1.0, 0, -7], [0, 0, 2.0, 30], [0, 0, 0, 1]])
GLIOMA = ScoringConfig(scheme="brats-gli-2023")


def tilted(degrees: float) -> np.ndarray:
    """Return the straight affine turned about the head-foot axis; at 45 degrees no axis is nearer right than front."""
    a = np.radians(degrees)
    about_z = np.array([[np.cos(a), -np.sin(a), 0, 0], [np.sin(a), np.cos(a), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    return about_z @ STRAIGHT


def masks() -> tuple[np.ndarray, np.ndarray]:
    """Return truth and prediction of three classes in two lesions, on a grid with three different sides."""
    truth = np.zeros((12, 11, 9), dtype=np.uint8)
    truth[1:6, 2:6, 1:4], truth[2:4, 3:5, 2:4], truth[8:11, 7:10, 5:8] = 2, 1, 3
    prediction = np.roll(truth, (1, 0, 0), axis=(0, 1, 2))
    prediction[:, 9:] = 0
    prediction[1, 1, 8] = 3
    return truth, prediction


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def scored(prediction: Path, truth: Path, manner: ScoringConfig = GLIOMA) -> CaseScores:
    (pair,) = match_files(prediction, truth).cases
    return score_pair(pair, manner)


def figures(scores: CaseScores) -> tuple[object, str]:
    """Return every number of a case as something that can be compared, its single lesions too."""
    return scores_to_json(scores), repr({name: region.lesions for name, region in scores.regions.items()})


@pytest.mark.parametrize("affine", [STRAIGHT, tilted(14), tilted(45)], ids=["straight", "oblique", "45 degrees"])
def test_the_same_numbers_in_all_48_axis_orders(tmp_path: Path, affine: np.ndarray) -> None:
    truth, prediction = masks()
    chance = np.where(prediction > 0, 0.9, 0.1).astype(np.float32)
    truth_file = save(tmp_path / "truth" / "c-seg.nii.gz", truth, affine)

    def turned(turn: AxisTurn) -> CaseScores:
        there = turn.affine(affine, truth.shape)
        save(tmp_path / "p" / "c-probability.nii.gz", turn(chance), there)
        return scored(save(tmp_path / "p" / "c-seg.nii.gz", turn(prediction), there), truth_file)

    expected = turned(AxisTurn())
    assert 0.3 < expected["WT"]["dice"] < 0.9
    assert expected.chances is not None
    for turn in TURNS:
        assert figures(turned(turn)) == figures(expected), axis_codes(turn.affine(affine, truth.shape))


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_the_turn_back_is_found_from_the_affines(turn: AxisTurn) -> None:
    for affine in (STRAIGHT, tilted(14), tilted(45)):
        assert turn_onto(turn.affine(affine, (4, 5, 6)), affine) == turn.inverse()


@pytest.mark.parametrize("turn", [AxisTurn(), AxisTurn((2, 0, 1), (True, False, True))], ids=["as is", "turned"])
@pytest.mark.parametrize(
    "moved",
    [
        np.array([[1, 0, 0, 0.3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.diag([1.1, 1, 1, 1]),
        np.linalg.inv(STRAIGHT) @ tilted(20),
    ],
    ids=["shifted", "other spacing", "rotated"],
)
def test_another_grid_is_refused_whatever_the_order_of_its_axes(
    tmp_path: Path, turn: AxisTurn, moved: np.ndarray
) -> None:
    truth, prediction = masks()
    there = STRAIGHT @ moved
    guess = save(tmp_path / "p" / "c-seg.nii.gz", turn(prediction), turn.affine(there, truth.shape))
    with pytest.raises(GeometryError, match="differ in position or orientation") as caught:
        scored(guess, save(tmp_path / "t" / "c-seg.nii.gz", truth, STRAIGHT))
    assert caught.value.code == "input.affine_mismatch"
    assert "mm apart" in str(caught.value.cure)
    assert "metseg does not resample it" in str(caught.value.cure)


def test_a_shape_that_no_turn_mends_is_refused_as_it_is_stored(tmp_path: Path) -> None:
    truth, prediction = masks()
    turn = AxisTurn((1, 0, 2))
    guess = save(tmp_path / "p" / "c-seg.nii.gz", turn(prediction[:-1]), turn.affine(STRAIGHT, prediction[:-1].shape))
    with pytest.raises(GeometryError, match="differ in shape") as caught:
        scored(guess, save(tmp_path / "t" / "c-seg.nii.gz", truth, STRAIGHT))
    assert (caught.value.code, caught.value.expected, caught.value.got) == (
        "input.shape_mismatch",
        (12, 11, 9),
        (11, 11, 9),
    )


def test_a_place_that_was_lost_is_overruled_only_on_demand_and_marked(tmp_path: Path) -> None:
    truth, prediction = masks()
    guess = save(tmp_path / "p" / "c-seg.nii.gz", prediction, np.eye(4))
    known = save(tmp_path / "t" / "c-seg.nii.gz", truth, STRAIGHT)
    with pytest.raises(GeometryError, match="--allow-affine-mismatch"):
        scored(guess, known)
    allowed = scored(guess, known, ScoringConfig(scheme="brats-gli-2023", allow_affine_mismatch=True))
    assert "c: prediction and truth are up to" in allowed.warnings[0]
    assert "voxel by voxel" in allowed.warnings[0]
    same = scored(save(tmp_path / "q" / "c-seg.nii.gz", prediction, STRAIGHT), known)
    assert figures(replace(allowed, warnings=())) == figures(same)
    # Nothing is overruled where the shapes differ as stored.
    with pytest.raises(GeometryError):
        scored(
            save(tmp_path / "r" / "c-seg.nii.gz", prediction.transpose(1, 0, 2), np.eye(4)),
            known,
            ScoringConfig(scheme="brats-gli-2023", allow_affine_mismatch=True),
        )


def test_labels_of_either_side_become_those_that_are_scored(tmp_path: Path) -> None:
    truth, prediction = masks()
    old = np.array([0, 1, 2, 4], dtype=np.uint8)
    new_truth, new_guess = (save(tmp_path / n / "c.nii.gz", d, STRAIGHT) for n, d in (("t", truth), ("p", prediction)))
    old_truth, old_guess = (
        save(tmp_path / n / "c.nii.gz", old[d], STRAIGHT) for n, d in (("ot", truth), ("op", prediction))
    )
    expected = scored(new_guess, new_truth)
    as_old = ScoringConfig(scheme="brats-gli-2023", prediction_labels="brats-gli-2021")
    assert figures(scored(old_guess, new_truth, as_old)) == figures(expected)
    both = ScoringConfig(scheme="brats-gli-2023", prediction_labels="brats-gli-2021", truth_labels="brats-gli-2021")
    assert figures(scored(old_guess, old_truth, both)) == figures(expected)
    assert figures(scored(old_guess, old_truth, ScoringConfig(scheme="brats-gli-2021"))) == figures(expected)
    with pytest.raises(InputError, match="unknown label 4"):
        scored(old_guess, new_truth)
    with pytest.raises(InputError, match="unknown label 3"):
        scored(new_guess, new_truth, as_old)
    # Whatever is labelled is the lesion where the scheme scored has one class.
    whole = scored(
        old_guess, new_truth, ScoringConfig(truth_labels="brats-gli-2023", prediction_labels="brats-gli-2021")
    )
    assert whole["lesion"].metrics == expected["WT"].metrics


def test_results_say_that_labels_were_converted(tmp_path: Path) -> None:
    truth, prediction = masks()
    pairs = match_files(save(tmp_path / "p.nii.gz", prediction, STRAIGHT), save(tmp_path / "t.nii.gz", truth, STRAIGHT))
    manner = ScoringConfig(prediction_labels="brats-gli-2023", truth_labels="brats-gli-2023")
    summary = evaluate_pairs(pairs, manner, out=tmp_path / "out", quiet=True)
    assert summary.warnings == (
        "labels of the truth were read as brats-gli-2023 and scored as binary",
        "labels of the predictions were read as brats-gli-2023 and scored as binary",
    )


def test_a_second_reader_has_the_labels_of_the_truth(tmp_path: Path) -> None:
    truth, prediction = masks()
    old = np.array([0, 1, 2, 4], dtype=np.uint8)
    for side, data in (("first", old[truth]), ("second", old[np.roll(truth, 1, axis=1)]), ("model", prediction)):
        save(tmp_path / side / "c-seg.nii.gz", data, STRAIGHT)
    sets = PredictionSets({"model": tmp_path / "model"}, tmp_path / "first", second_truth=tmp_path / "second")
    manner = ScoringConfig(scheme="brats-gli-2023", truth_labels="brats-gli-2021")
    readers = evaluate_sets(sets, manner, out=tmp_path / "out", quiet=True).readers
    assert readers is not None
    assert {one.region for one in readers.agreements} == {"WT", "TC", "ET"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"scheme": "decathlon-brain", "prediction_labels": "brats-gli-2021"},
        {"scheme": "brats-gli-2023", "truth_labels": "brats-gli-2022"},
        {"scheme": LabelScheme({1: "a"}, {"a": (1,)}), "truth_labels": "brats-gli-2021"},
    ],
)
def test_labels_with_no_way_to_those_scored_are_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ScoringConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.real
def test_two_files_of_one_real_segmentation(real_data: Path, run_metseg, tmp_path: Path) -> None:
    """Their voxels are the same, labelled anew; but one file lost its place: its affine is the identity.

    By their files they lie 239 mm apart, on either side of the scanner's centre, and only one lies on the images.
    """
    study = real_data / "glioma_volume_no_truth"
    mapped, segmented = study / "seg-BraTS23_1_mapped.nii.gz", study / "seg-BraTS23_1.nii.gz"
    paths = ("evaluate", "--predictions", mapped, "--truth", segmented, "--out", tmp_path / "out", "--no-report")
    labels = ("--labels", "brats-gli-2023", "--prediction-labels", "brats-gli-2021")
    status, _, message = run_metseg(*paths, *labels)
    assert status == 3
    assert "differ in position or orientation" in message
    assert "up to 239 mm apart" in message
    status, _, _ = run_metseg(*paths, *labels, "--allow-affine-mismatch")
    assert status == 0
    assert "as stored, as requested" in (tmp_path / "out" / "summary.json").read_text("utf-8")
    rows = (tmp_path / "out" / "cases.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["WT", "TC", "ET"]
    dice = rows[0].split(",").index("dice")
    assert [float(row.split(",")[dice]) for row in rows[1:]] == [1.0, 1.0, 1.0]


@pytest.mark.real
def test_a_real_segmentation_in_another_orientation_is_the_same(real_data: Path, tmp_path: Path) -> None:
    """The mask as a program that writes RAS would have written it, its labels those of 2021."""
    path = real_data / "glioma_volume_no_truth" / "seg-BraTS23_1.nii.gz"
    stored = nib.load(path)
    data = np.array([0, 1, 2, 4], dtype=np.uint8)[np.asarray(stored.dataobj).astype(int)]
    other = nib.as_closest_canonical(nib.Nifti1Image(data, stored.affine))
    assert nib.aff2axcodes(stored.affine) == ("L", "P", "S")
    assert nib.aff2axcodes(other.affine) == ("R", "A", "S")
    nib.save(other, tmp_path / "turned.nii.gz")
    scores = scored(
        tmp_path / "turned.nii.gz", path, ScoringConfig(scheme="brats-gli-2023", prediction_labels="brats-gli-2021")
    )
    assert [scores[region]["dice"] for region in ("WT", "TC", "ET")] == [1.0, 1.0, 1.0]
    assert [scores[region]["hd95_mm"] for region in ("WT", "TC", "ET")] == [0.0, 0.0, 0.0]
