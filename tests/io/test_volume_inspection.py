"""An inspection of volumes counts what is there, by hand-made studies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.io.case_discovery import find
from metseg.io.inspection.contact_sheet_volumes import showcase_volumes
from metseg.io.inspection.volume_inspection import inspect_volumes

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
SHAPE = (10, 9, 8)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Return two examinations of one patient, the second without lesion, and a patient who lacks FLAIR."""
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:4, 1, 1] = (1, 2, 3)  # 3 voxels of 2 mm3
    mask[8, 8, 6:8] = 3  # 2 voxels
    truths = {"BraTS-MET-00001-000": mask, "BraTS-MET-00001-001": mask * 0, "BraTS-MET-00002-000": (mask == 3) * 3}
    for case, truth in truths.items():
        save(tmp_path / case / f"{case}-t1c.nii.gz", rng.integers(0, 900, SHAPE).astype(np.int16))
        save(tmp_path / case / f"{case}-t2f.nii.gz", rng.normal(size=(10, 9, 4)).astype(np.float32), np.eye(4))
        save(tmp_path / case / f"{case}-seg.nii.gz", truth.astype(np.uint8))
    (tmp_path / case / f"{case}-t2f.nii.gz").unlink()
    (tmp_path / "notes.txt").write_text("read me")
    return tmp_path


def test_counts(studies: Path) -> None:
    seen = inspect_volumes(find(studies), quiet=True)
    assert (seen.layout, seen.patients, seen.cases, seen.masks) == ("brats_2023", 2, 3, 3)
    assert seen.repeated == {"BraTS-MET-00001": 2}
    assert seen.sequences == {"t1c": 3, "t2f": 2}
    assert seen.shapes == {"10 x 9 x 8": 3, "10 x 9 x 4": 2}
    assert seen.spacings_mm == {"1 x 1 x 2": 3, "1 x 1 x 1": 2}
    assert seen.orientations == {"LPS": 3, "RAS": 2}
    assert seen.dtypes == {"int16": 3, "float32": 2}
    assert seen.label_values == {1: 1, 2: 1, 3: 2}
    assert seen.cases_without_lesion == ["BraTS-MET-00001-001"]
    assert seen.cases_on_several_grids == ["BraTS-MET-00001-000", "BraTS-MET-00001-001"]
    assert (seen.lesions, seen.problems, seen.other_files) == (4, [], {".txt": 1})


def test_lesions_and_classes_have_volumes(studies: Path) -> None:
    first, empty, last = inspect_volumes(find(studies), quiet=True).case_lines
    assert first.lesion_ml == [0.006, 0.004]
    assert first.class_ml == {"NETC": 0.002, "SNFH": 0.002, "ET": 0.006}
    assert first.label_values == {1: 1, 2: 1, 3: 3}
    assert (first.patient, first.timepoint) == ("BraTS-MET-00001", "000")
    assert (empty.has_mask, empty.lesion_ml) == (True, [])
    assert (last.missing, last.lesion_ml) == (["t2f"], [0.004, 0.002])


def test_copies_across_patients_and_constant_images(studies: Path) -> None:
    one, two = (studies / case / f"{case}-t1c.nii.gz" for case in ("BraTS-MET-00001-000", "BraTS-MET-00002-000"))
    two.write_bytes(one.read_bytes())
    save(studies / "BraTS-MET-00001-001" / "BraTS-MET-00001-001-t1c.nii.gz", np.full(SHAPE, 7, dtype=np.int16))
    seen = inspect_volumes(find(studies), quiet=True)
    assert seen.duplicates == [["BraTS-MET-00001-000 t1c", "BraTS-MET-00002-000 t1c"]]
    assert seen.constant_images == ["BraTS-MET-00001-001 t1c"]


def test_it_is_json(studies: Path) -> None:
    document = json.loads(json.dumps(inspect_volumes(find(studies), quiet=True).to_dict()))
    assert document["case_lines"][0]["sequences"]["t1c"]["shape"] == [10, 9, 8]


def test_the_command_prints_a_line_for_each_study_and_fact(
    studies: Path, run_metseg: Callable[..., tuple[int, str, str]]
):
    sheet = studies.parent / "sheet.png"
    status, out, _ = run_metseg("inspect", studies, "--contact-sheet", sheet)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == (
        "case BraTS-MET-00001-000, patient BraTS-MET-00001 @ 000, sequences t1c t2f, grid 10x9x8 10x9x4, "
        "mm 1x1x2 1x1x1, axes LPS RAS, labels 1,2,3, lesions 2, mL 0.01"
    )
    assert "labels empty, lesions 0" in lines[1]
    assert "sequences t1c -t2f" in lines[2]
    assert "holds: 2 patients, 3 studies, 3 with mask, 4 lesions" in lines
    assert "several examinations: 1 patient: BraTS-MET-00001 (2)" in lines
    assert "no lesion found: 1 study: BraTS-MET-00001-001" in lines
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


def test_the_sheet_shows_the_largest_lesion_as_a_radiologist_sees_it(studies: Path) -> None:
    found = find(studies)
    one, two = showcase_volumes(found.sources, inspect_volumes(found, quiet=True).case_lines)
    image = nib.load(studies / "BraTS-MET-00001-000" / "BraTS-MET-00001-000-t1c.nii.gz").get_fdata()
    # The file is LPS: its x runs to the left and its y to the back, which are the columns and rows of the picture.
    assert np.array_equal(one.picture, image[:, :, 1].T)
    assert one.labels is not None
    assert np.argwhere(one.labels).tolist() == [[1, 1], [1, 2], [1, 3]]
    assert (one.title, two.title) == ("00001", "00002")


@pytest.mark.real
def test_raw_clinical_study(real_data: Path) -> None:
    (line,) = inspect_volumes(find(real_data / "raw_clinical_glioma"), quiet=True).case_lines
    assert {name: image.shape for name, image in line.sequences.items()} == {
        "t2f": (208, 256, 26),
        "t1c": (256, 224, 26),
        "t2w": (224, 256, 26),
        "t1n": (256, 224, 26),
    }
    assert line.problems == []
    assert line.grids == 3  # t1n and t1c were taken on one


@pytest.mark.real
def test_a_real_study_with_two_segmentations_is_read_without_either(
    real_data: Path, run_metseg: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = run_metseg("inspect", real_data / "glioma_volume_no_truth", "--json")
    assert status == 0
    document = json.loads(out)
    (line,) = document["case_lines"]
    assert list(line["sequences"]) == ["t1c", "t1n", "t2f", "t2w"]
    assert {image["orientation"] for image in line["sequences"].values()} == {"LPS"}
    assert (line["has_mask"], line["problems"]) == (False, [])
    (note,) = line["notes"]
    assert "seg-BraTS23_1.nii.gz, seg-BraTS23_1_mapped.nii.gz" in note
    assert "none was read" in note
