"""`metseg.follow` and ``metseg follow``: masks beside images, predictions in a folder and in memory, wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import nibabel
import numpy as np
import pytest

import metseg
from metseg.inference.prediction import Prediction

Run = Callable[..., tuple[int, str, str]]
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def arrays(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of a head with one lesion, and its mask of the scheme brats-met-2023."""
    x, y, z = np.indices((48, 48, 24))
    head = ((x - 24) / 20) ** 2 + ((y - 23) / 21) ** 2 + ((z - 12) / 14) ** 2 <= 1
    image = np.where(head, 60 + 20 * np.sin(x / 3) * np.cos(y / 4) + 15 * np.sin(z / 2), 0).astype(np.float32)
    lesion = (x - 18) ** 2 + (y - 20) ** 2 + (z - 12) ** 2 <= radius**2
    image[lesion] = 160
    return image, (3 * lesion).astype(np.uint8)


def write(folder: Path, radius: float, *, with_mask: bool) -> None:
    folder.mkdir(parents=True)
    image, labels = arrays(radius)
    nibabel.save(nibabel.Nifti1Image(image, AFFINE), folder / f"{folder.name}-t1c.nii.gz")
    if with_mask:
        nibabel.save(nibabel.Nifti1Image(labels, AFFINE), folder / f"{folder.name}-seg.nii.gz")


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for name, radius in (("BraTS-MET-00001-000", 4), ("BraTS-MET-00001-001", 6)):
        write(tmp_path / "data" / name, radius, with_mask=True)
    return tmp_path / "data"


def prediction(radius: float, name: str, patient: str | None = "P") -> Prediction:
    image, labels = arrays(radius)
    case = metseg.Case.from_arrays({"t1c": image}, AFFINE, case_id=name, patient=patient)
    zeros = np.zeros(image.shape, np.float32)
    return Prediction(case, labels, zeros, (), labels.astype(np.uint32), {}, (), "mets-sim", "brats-met-2023", "t1c")


def test_a_folder_of_examinations_is_followed_in_order(studies: Path, tmp_path: Path) -> None:
    followed = metseg.follow(studies, labels="brats-met-2023", out=tmp_path / "out", formats=())
    assert [one.name for one in followed.timepoints] == ["000", "001"]
    assert followed.document.patient == "BraTS-MET-00001"
    change = followed.document.lesions[0].states[1].since_previous
    assert change is not None
    assert change.volume == "larger"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "BraTS-MET-00001-follow-up.csv",
        "BraTS-MET-00001-follow-up.json",
    ]


def test_predictions_in_memory_and_in_a_folder_give_the_same(tmp_path: Path) -> None:
    made = [prediction(radius, name) for radius, name in ((4, "a"), (6, "b"))]
    memory = metseg.follow(made, dates=["2024-01-10", date(2024, 4, 10)])
    assert memory.document.timepoints[1].days == 91
    assert memory.document.timepoints[0].model == "mets-sim"
    for one, radius in zip(made, (4, 6), strict=True):
        write(tmp_path / "data" / one.case.case_id, radius, with_mask=False)
        one.save(tmp_path / "predicted")
    folders = [tmp_path / "data" / name for name in "ab"]
    disk = metseg.follow(folders, predictions=tmp_path / "predicted", dates=["2024-01-10", "2024-04-10"])
    assert disk.document.lesions == memory.document.lesions


def test_names_that_are_dates_are_the_dates() -> None:
    made = [prediction(4, "2024-01-10"), prediction(4, "2024-03-10")]
    assert metseg.follow(made).document.timepoints[1].days == 60


def test_the_command_prints_changes_first_and_writes_all_files(run_metseg: Run, studies: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, text, _ = run_metseg("follow", studies, "--labels", "brats-met-2023", "--out", out, "--format", "html")
    assert status == 0
    lines = text.splitlines()
    assert lines[0].startswith("No. 1, Change larger")
    assert lines[1] == "result: From 000 to 001: 1 lesion larger."
    assert {file.suffix for file in out.iterdir()} == {".json", ".csv", ".html"}


def test_clinical_inputs_complete_the_category(run_metseg: Run, studies: Path, tmp_path: Path) -> None:
    words = ("follow", studies, "--labels", "brats-met-2023", "--out", tmp_path / "out", "--format", "html", "--json")
    status, text, _ = run_metseg(*words, "--steroids", "stable", "--clinical", "worse")
    assert status == 0
    (response,) = json.loads(text)["response"]
    assert response["complete"]["category"] == "PD"
    assert response["steroids"] == "stable"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "not known where the masks are"),
        (("--labels", "brats-met-2023", "--date", "2024-01-01"), "number of dates"),
        (("--labels", "brats-met-2023", "--date", "yesterday", "--date", "2024-01-01"), "not a date"),
        (("--labels", "brats-met-2023", "--steroids", "many"), "value of steroids"),
        (("--labels", "brats-met-2023", "--clinical", "stable", "--clinical", "stable"), "every examination"),
        (("--labels", "nonsense"), "label scheme"),
        (("--labels", "brats-met-2023", "--predictions", "nowhere"), "beside predictions, which state theirs"),
        (("--predictions", "nowhere"), "no prediction"),
        (("--labels", "brats-met-2023", "--format", "docx"), "report format"),
    ],
)
def test_wrong_input_is_refused_with_a_reason(
    run_metseg: Run, studies: Path, tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    status, _, error = run_metseg("follow", studies, "--out", tmp_path / "out", *words)
    assert status in (2, 3)
    assert code in error
    assert not (tmp_path / "out").exists()


def test_a_study_without_a_mask_and_a_single_examination_are_refused(studies: Path, tmp_path: Path) -> None:
    write(tmp_path / "alone" / "c", 4, with_mask=False)
    with pytest.raises(metseg.InputError) as missing:
        metseg.follow([studies / "BraTS-MET-00001-000", tmp_path / "alone" / "c"], labels="brats-met-2023")
    assert missing.value.code == "input.missing_truth"
    with pytest.raises(metseg.InputError) as single:
        metseg.follow(studies / "BraTS-MET-00001-000", labels="brats-met-2023")
    assert single.value.code == "input.one_timepoint"


def test_repeated_names_are_numbered(tmp_path: Path) -> None:
    made = [prediction(4, "same"), replace(prediction(5, "same"))]
    assert [one.name for one in metseg.follow(made).timepoints] == ["1. same", "2. same"]


def test_labels_beside_predictions_in_memory_are_refused() -> None:
    with pytest.raises(metseg.UsageError) as refused:
        metseg.follow([prediction(4, "a"), prediction(5, "b")], labels="binary")
    assert refused.value.code == "usage.labels"


def test_examinations_of_different_patients_are_doubtful() -> None:
    doubts = metseg.follow([prediction(4, "a", "patient-1"), prediction(5, "b", "patient-2")]).document.doubts
    assert doubts[0].startswith("The examinations seem to be of different patients (a: patient-1, b: patient-2).")
    for patient in ("P", None):  # None: every study is named by itself, and no patient is known
        same = metseg.follow([prediction(4, "a", patient), prediction(5, "b", patient)]).document.doubts
        assert not any("different patients" in doubt for doubt in same)
