"""Two folders, or two files: pairing, grids, tables, processes, and what goes wrong by name."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import GeometryError, InputError, UsageError
from metseg.evaluation import (
    METRICS,
    MaskPair,
    ScoringConfig,
    evaluate_case,
    evaluate_folders,
    evaluate_masks,
    evaluate_pairs,
)
from metseg.evaluation.files.file_matching import case_id, match_files
from metseg.io.mask_names import MASK_ENDINGS

METS = ScoringConfig(scheme="brats-met-2023")
AFFINE = np.diag([-0.5, -1.0, 2.0, 1.0])

#: DESIGN's columns, word by word.
COLUMNS = (
    "case,region,n_tp,n_fp,n_fn,sensitivity,specificity,precision,accuracy,dice,iou,hd95_mm,asd_mm,nsd_0.5,nsd_1.0,"
    "nsd_2.0,truth_volume_mm3,predicted_volume_mm3,lesionwise_dice,lesionwise_hd95,lesionwise_nsd_0.5,lesionwise_nsd_1.0"
)


def blobs(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mask = np.zeros((12, 11, 10), dtype=np.uint8)
    for _ in range(3):
        x, y, z = generator.integers(0, 8, 3)
        mask[x : x + 3, y : y + 3, z : z + 2] = generator.integers(1, 4)
    return mask


def save(path: Path, mask: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask, affine), path)


def draw(path: Path, plane: np.ndarray) -> None:
    """Write a plane [x, y] as a 0/255 picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(plane.T) * np.uint8(255)).save(path)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def volumes(tmp_path: Path) -> tuple[Path, Path]:
    """Two patients, one of them at two times; truth in a folder per case with images beside, predictions flat."""
    predictions, truth = tmp_path / "predictions", tmp_path / "truth"
    for seed, case in enumerate(("BraTS-MET-00001-000", "BraTS-MET-00001-001", "BraTS-MET-00002-000")):
        save(truth / case / f"{case}-seg.nii.gz", blobs(seed))
        save(truth / case / f"{case}-t1c.nii.gz", blobs(99))
        save(predictions / f"{case}-seg.nii.gz", blobs(seed + 10))
    return predictions, truth


@pytest.fixture
def stacks(tmp_path: Path) -> tuple[Path, Path]:
    """Two patients of 11 slices, numbered so that text order is wrong; the pictures lie beside the truth."""
    predictions, truth = tmp_path / "predictions", tmp_path / "truth"
    for seed, patient in enumerate(("p1", "p2")):
        for z in range(10):
            draw(truth / patient / f"{patient}_{z + 1}_mask.png", blobs(seed)[:, :, z] > 0)
            draw(truth / patient / f"{patient}_{z + 1}.png", blobs(50)[:, :, z] > 0)
            draw(predictions / patient / f"{patient}_{z + 1}_mask.png", blobs(seed + 10)[:, :, z] > 0)
            draw(predictions / patient / f"{patient}_{z + 1}_overlay.png", blobs(51)[:, :, z] > 0)
    return predictions, truth


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-seg.nii.gz", "a"),
        ("a-pred.nii", "a"),
        ("a_mask.png", "a"),
        ("a_seg.TIF", "a"),
        ("a-mask.png", "a"),
        ("a_pred.png", "a"),
        ("a-seg-seg.nii.gz", "a-seg"),
        ("a.b.nii.gz", "a.b"),
        ("-seg.nii.gz", "-seg"),
        ("100101A_BraTS-seg.nii.gz", "100101A"),
        ("100101A_seg.nii.gz", "100101A"),
    ],
)
def test_case_ids(name: str, expected: str) -> None:
    assert case_id(name) == expected


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("BraTS-MET-00012-003", "BraTS-MET-00012"),
        ("Brats18_TCIA01_131_1", "Brats18_TCIA01_131"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),  # the number counts patients
        ("100101B", "100101"),
        ("anything-2", "anything-2"),
    ],
)
def test_whose_examination_a_name_says(tmp_path: Path, case: str, patient: str) -> None:
    save(tmp_path / "truth" / f"{case}_seg.nii.gz", blobs(0))
    save(tmp_path / "predictions" / f"{case}-seg.nii.gz", blobs(1))
    (pair,) = match_files(tmp_path / "predictions", tmp_path / "truth").cases
    assert (pair.case, pair.patient) == (case, patient)


def test_volumes_tables_equal_the_cases_one_by_one(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = evaluate_folders(*volumes, out=out, manner=ScoringConfig("brats-met-2024"), quiet=True)
    assert (summary.cases, summary.patients) == (3, 2)
    assert (out / "cases.csv").read_text("utf-8").splitlines()[0] == COLUMNS
    rows = rows_of(out / "cases.csv")
    assert [row["region"] for row in rows] == ["WT", "TC", "ET", "RC"] * 3
    lesions = rows_of(out / "lesions.csv")
    for seed in range(3):
        alone = evaluate_case(blobs(seed), blobs(seed + 10), affine=AFFINE, protocol="brats-met-2024")
        for row in rows[4 * seed : 4 * seed + 4]:
            region = alone[row["region"]]
            written = {name: float(row[name]) if row[name] else None for name in METRICS}
            assert written == region.metrics
            mine = [one for one in lesions if (one["case"], one["region"]) == (row["case"], row["region"])]
            assert [float(one["dice"]) for one in mine] == [lesion.figures["dice"] for lesion in region.lesions]
            assert [one["kind"] == "truth" for one in mine] == [lesion.is_true for lesion in region.lesions]
    assert not (out / "slices.csv").exists()


def test_the_summary_is_the_mean_of_the_table_by_patient(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate_folders(*volumes, out=tmp_path / "out", manner=METS, quiet=True)
    document = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    dice = [float(row["dice"]) for row in rows_of(tmp_path / "out" / "cases.csv") if row["region"] == "WT"]
    mean = document["regions"]["WT"]["metrics"]["dice"]["mean"]
    assert mean == pytest.approx(((dice[0] + dice[1]) / 2 + dice[2]) / 2)
    assert all(row["lesionwise_dice"] == "" for row in rows_of(tmp_path / "out" / "cases.csv"))


def test_processes_give_the_same_tables(tmp_path: Path) -> None:
    for seed in range(9):
        save(tmp_path / "truth" / f"c{seed}-seg.nii.gz", blobs(seed))
        save(tmp_path / "predictions" / f"c{seed}-pred.nii.gz", blobs(seed + 20))
    for jobs in (1, 2):
        evaluate_folders(
            tmp_path / "predictions", tmp_path / "truth", out=tmp_path / str(jobs), manner=METS, jobs=jobs, quiet=True
        )
    for name in ("cases.csv", "lesions.csv", "summary.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_folder_of_slices_is_one_case_in_numeric_order(stacks: tuple[Path, Path], tmp_path: Path) -> None:
    summary = evaluate_folders(*stacks, out=tmp_path / "out", quiet=True)
    assert (summary.cases, summary.patients) == (2, 2)
    rows = rows_of(tmp_path / "out" / "cases.csv")
    slices = rows_of(tmp_path / "out" / "slices.csv")
    lesions = rows_of(tmp_path / "out" / "lesions.csv")
    for seed, patient in enumerate(("p1", "p2")):
        alone = evaluate_masks(MaskPair(blobs(seed) > 0, blobs(seed + 10) > 0, stack_of_slices=True))["lesion"]
        assert rows[seed]["case"] == patient
        assert float(rows[seed]["dice"]) == alone["dice"]
        assert rows[seed]["hd95_mm"] == rows[seed]["truth_volume_mm3"] == ""
        assert alone.slices is not None
        assert float(slices[seed]["dice_positive_slices"]) == alone.slices.dice_positive_slices
        assert float(slices[seed]["dice_all_slices"]) == alone.slices.dice_all_slices
        # the centres come out the same only if the slices lie in the right order
        mine = [one for one in lesions if one["case"] == patient]
        centres = [tuple(float(one[f"centre_voxel_{axis}"]) for axis in "xyz") for one in mine]
        assert centres == [lesion.centre_voxel for lesion in alone.lesions]


def test_one_file_against_another(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, truth = volumes
    name = "BraTS-MET-00002-000"
    summary = evaluate_folders(
        predictions / f"{name}-seg.nii.gz",
        truth / name / f"{name}-seg.nii.gz",
        out=tmp_path / "out",
        manner=METS,
        quiet=True,
    )
    assert summary.cases == 1
    assert rows_of(tmp_path / "out" / "cases.csv")[0]["case"] == name


def test_missing_predictions_are_an_error_or_scored_as_empty(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, truth = volumes
    (predictions / "BraTS-MET-00002-000-seg.nii.gz").unlink()
    save(predictions / "stranger-seg.nii.gz", blobs(0))
    out = tmp_path / "out"
    with pytest.raises(InputError, match="BraTS-MET-00002-000") as caught:
        evaluate_folders(predictions, truth, out=out, manner=METS, quiet=True)
    assert caught.value.code == "input.missing_prediction"
    assert not list(out.glob("*")) if out.exists() else True
    summary = evaluate_pairs(match_files(predictions, truth, missing="empty"), METS, out=out, quiet=True)
    missing = [row for row in rows_of(out / "cases.csv") if row["case"] == "BraTS-MET-00002-000"]
    assert [float(row["dice"]) for row in missing if row["region"] == "WT"] == [0.0]
    assert any("scored as empty: BraTS-MET-00002-000" in warning for warning in summary.warnings)
    assert any("left out: stranger" in warning for warning in summary.warnings)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda mask, affine: (mask[:-1], affine), "input.shape_mismatch"),
        (lambda mask, affine: (mask, affine @ np.diag([-1.0, 1.0, 1.0, 1.0])), "input.affine_mismatch"),
        (lambda mask, affine: (mask + np.uint8(9), affine), "input.labels"),
    ],
)
def test_a_case_that_cannot_be_scored_is_named_and_nothing_written(
    volumes: tuple[Path, Path], tmp_path: Path, change: object, code: str
) -> None:
    predictions, truth = volumes
    mask, affine = change(blobs(11), AFFINE)  # type: ignore[operator]
    save(predictions / "BraTS-MET-00001-001-seg.nii.gz", mask, affine)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="BraTS-MET-00001-001") as caught:
        evaluate_folders(predictions, truth, out=out, manner=METS, quiet=True)
    assert caught.value.code == code
    assert list(out.iterdir()) == []


def test_affines_stored_with_less_precision_are_the_same(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, truth = volumes
    save(predictions / "BraTS-MET-00001-001-seg.nii.gz", blobs(11), AFFINE + 1e-6)
    summary = evaluate_folders(predictions, truth, out=tmp_path / "out", manner=METS, quiet=True)
    assert summary.cases == 3


def test_several_bad_cases_are_counted(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, truth = volumes
    for case in ("BraTS-MET-00001-000", "BraTS-MET-00002-000"):
        save(predictions / f"{case}-seg.nii.gz", blobs(1)[:-1])
    with pytest.raises(InputError, match="2 of 3 cases") as caught:
        evaluate_folders(predictions, truth, out=tmp_path / "out", manner=METS, quiet=True)
    assert "BraTS-MET-00002-000" in caught.value.one_line()


def test_slices_of_another_size_are_named(stacks: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, truth = stacks
    draw(predictions / "p2" / "p2_7_mask.png", np.zeros((3, 4), dtype=bool))
    with pytest.raises(GeometryError, match="p2_7_mask"):
        evaluate_folders(predictions, truth, out=tmp_path / "out", quiet=True)


def test_flat_slices_need_a_pattern(tmp_path: Path) -> None:
    for side in ("predictions", "truth"):
        for patient in ("a", "b"):
            for z in range(2):
                draw(tmp_path / side / f"{patient}_{z}_mask.png", blobs(z)[:, :, 0] > 0)
    with pytest.raises(InputError) as caught:
        match_files(tmp_path / "predictions", tmp_path / "truth")
    assert caught.value.code == "input.no_patient"
    pairs = match_files(tmp_path / "predictions", tmp_path / "truth", patient_pattern=r"^(.*)_\d+$")
    assert [(pair.case, pair.patient, len(pair.truth)) for pair in pairs.cases] == [("a", "a", 2), ("b", "b", 2)]


@pytest.mark.parametrize("ending", MASK_ENDINGS)
def test_every_mask_ending_of_a_data_set_tells_truth_from_image(tmp_path: Path, ending: str) -> None:
    plane = blobs(0)[:, :, 0] > 0
    draw(tmp_path / "truth" / "p1" / "1.png", ~plane)  # the image
    draw(tmp_path / "truth" / "p1" / f"1{ending}.png", plane)
    draw(tmp_path / "predictions" / "p1" / "1_mask.png", plane)
    (pair,) = match_files(tmp_path / "predictions", tmp_path / "truth").cases
    assert [path.name for path in pair.truth] == [f"1{ending}.png"]


def test_lesions_on_pictures_end_with_the_picture(tmp_path: Path) -> None:
    """A column through three pictures, found on one: as a training counts it, one found and two missed."""
    for z in range(3):
        column = np.zeros((6, 6), dtype=bool)
        column[2:4, 2:4] = True
        draw(tmp_path / "truth" / "p1" / f"{z}_mask.png", column)
        draw(tmp_path / "predictions" / "p1" / f"{z}_mask.png", column & (z == 1))
    summary = evaluate_folders(tmp_path / "predictions", tmp_path / "truth", out=tmp_path / "out", quiet=True)
    assert summary.regions["lesion"].lesions == {"n_tp": 1, "n_fn": 2, "n_fp": 0}
    assert len(rows_of(tmp_path / "out" / "lesions.csv")) == 3


def test_masks_in_a_folder_of_their_own(tmp_path: Path) -> None:
    draw(tmp_path / "truth" / "p1" / "masks" / "s1.png", blobs(0)[:, :, 0] > 0)
    draw(tmp_path / "predictions" / "p1" / "images" / "s1_mask.png", blobs(0)[:, :, 0] > 0)
    (pair,) = match_files(tmp_path / "predictions", tmp_path / "truth").cases
    assert (pair.case, pair.patient) == ("p1", "p1")


def test_what_cannot_be_paired(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, _ = volumes
    slices = tmp_path / "only_slices"
    draw(slices / "p1" / "s1_mask.png", np.ones((3, 3), dtype=bool))
    with pytest.raises(UsageError, match="volumes, the other pictures"):
        match_files(predictions, slices)
    with pytest.raises(InputError, match="no such file or folder"):
        match_files(predictions, tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="no masks found"):
        match_files(predictions, tmp_path / "bare")
    save(tmp_path / "others" / "x-seg.nii.gz", blobs(0))
    with pytest.raises(InputError, match="no prediction matches a truth"):
        match_files(predictions, tmp_path / "others")
    save(predictions / "again" / "BraTS-MET-00001-000-pred.nii.gz", blobs(0))
    with pytest.raises(InputError, match="two cases have the name 'BraTS-MET-00001-000'"):
        match_files(predictions, predictions)
