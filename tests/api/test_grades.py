"""Grades from folders and tables, with true and predicted outlines, into documents and reports."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.api.grades import GradeData, evaluate_grade, predict_grade, train_grade
from metseg.bundle_folder import fingerprint_of
from metseg.errors import BundleError, InputError, UsageError
from metseg.experiment.grade_cohort import Cohort, Examination, two_classes
from metseg.grade_record import NO_GLIOMAS
from metseg.grading.grade_availability import (
    NO_CLASSIFIER,
    OTHER_OUTLINES,
    usable_classifier,
    why_not_available,
)
from metseg.grading.grade_classifier import FeatureWeight, GradeClassifier, GradeScores
from metseg.grading.tumour_features import FEATURES

Run = Callable[..., tuple[int, str, str]]
GLIOMA: dict[str, Any] = {"labels": "binary", "licence": "low-grade glioma", "fingerprint": "f1"}


def classifier(*, auc_low: float = 0.6, outlines: str = "truth", labels: str = "binary") -> GradeClassifier:
    return GradeClassifier(
        column="grade",
        classes=("LGG", "HGG"),
        outlines=outlines,
        labels=labels,
        features=(FeatureWeight(name="head_share", mean=0.1, spread=0.1, coefficient=2.0),),
        intercept=0.0,
        regularisation=1.0,
        calibration=(1.0, 0.0),
        patients=("Brats18_A_1",),
        scores=GradeScores(
            patients=40, positive=20, auc=0.8, auc_low=auc_low, auc_high=0.9, brier=0.2, calibration_error=0.1
        ),
    )


def write_brats(root: Path, grade: str, patient: str, *, bright: float, seed: int) -> None:
    """Write a study of BraTS 2018: the tumours of high grades are brighter in T1c."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((20, 20, 12), np.uint8)
    size = int(generator.integers(4, 8))
    labels[4 : 4 + size, 5 : 5 + size, 3 : 3 + size] = 2
    labels[5:7, 6:8, 4:6] = 4
    folder = root / grade / patient
    folder.mkdir(parents=True)
    for name in ("t1", "t1ce", "t2", "flair"):
        image = np.zeros(labels.shape, np.float32)
        image[1:19, 1:19, 1:11] = generator.normal(100, 5, (18, 18, 10))
        image[labels > 0] += bright if name == "t1ce" else 30
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / f"{patient}_{name}.nii.gz")
    nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / f"{patient}_seg.nii.gz")


@pytest.fixture(scope="module")
def brats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 6 patients of each grade in the folders of BraTS 2018; one has two examinations."""
    root = tmp_path_factory.mktemp("brats")
    for place in range(6):
        write_brats(root, "HGG", f"Brats18_H{place}_X_1", bright=60 + 3 * place, seed=place)
        write_brats(root, "LGG", f"Brats18_L{place}_X_1", bright=3 * place, seed=50 + place)
    write_brats(root, "HGG", "Brats18_H0_X_2", bright=60, seed=99)
    return root


def data_of(root: Path, **options: Any) -> GradeData:
    return GradeData(root, labels="brats-gli-2021", quiet=True, **options)


def test_folders_of_brats_are_grades(brats: Path, tmp_path: Path, run_metseg: Run) -> None:
    table = tmp_path / "features.csv"
    made = train_grade(data_of(brats, features_file=table), "grade", tmp_path / "grade.json")
    assert made.classes == ("LGG", "HGG")
    assert (made.scores.patients, made.scores.positive) == (12, 6)
    assert made.scores.auc > 0.9
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == 13
    assert set(FEATURES) <= set(rows[0])
    assert {row["grade"] for row in rows} == {"HGG", "LGG"}
    grades = predict_grade(tmp_path / "grade.json", data_of(brats))
    assert grades["Brats18_H3_X_1"].grade == "HGG"
    assert grades["Brats18_L3_X_1"].grade == "LGG"
    with pytest.raises(InputError) as caught:
        evaluate_grade(made, data_of(brats), "grade")
    assert caught.value.code == "input.leak"
    status, out, _ = run_metseg("grade", "predict", tmp_path / "grade.json", brats, "--labels", "brats-gli-2021")
    assert status == 0
    assert "Brats18_H3_X_1: HGG (probability" in out
    assert "not a diagnosis" in out


def test_other_patients_are_scored(brats: Path) -> None:
    scores = evaluate_grade(classifier(labels="brats-gli-2021"), data_of(brats), "grade")
    assert scores.patients == 12


def test_what_may_be_chance_is_not_predicted(brats: Path) -> None:
    with pytest.raises(UsageError) as caught:
        predict_grade(classifier(auc_low=0.5, labels="brats-gli-2021"), data_of(brats))
    assert caught.value.code == "usage.grade_not_available"


def test_other_outlines_are_refused(brats: Path) -> None:
    for other in (classifier(outlines="f1", labels="brats-gli-2021"), classifier()):
        with pytest.raises(UsageError) as caught:
            predict_grade(other, data_of(brats))
        assert caught.value.code == "usage.outlines"


def test_an_unknown_column_is_refused(brats: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        train_grade(data_of(brats), "who", tmp_path / "grade.json")
    assert caught.value.code == "input.column"


def cohort(*grades: str) -> Cohort:
    values = dict.fromkeys(FEATURES, 1.0)
    return Cohort([Examination(f"C{place}", f"P{place}", grade, values) for place, grade in enumerate(grades)])


def test_there_are_two_grades() -> None:
    assert two_classes(cohort("III", "II", ""), None) == ("II", "III")
    assert two_classes(cohort("III", "II"), "II") == ("III", "II")
    for grades, positive in ((("II",), None), (("II", "III", "IV"), None), (("II", "III"), "IV")):
        with pytest.raises(UsageError) as caught:
            two_classes(cohort(*grades), positive)
        assert caught.value.code == "usage.grades"


def test_other_grades_are_left_out_with_a_note() -> None:
    kept = cohort("II", "III", "").of_grades(("II", "III"))
    assert len(kept.examinations) == 2
    assert kept.notes == ["left out: 1 examination with the grade not stated"]


def test_a_patient_has_one_grade() -> None:
    both = cohort("II", "III")
    both = Cohort(
        [one if place else Examination("C", "P1", "II", one.values) for place, one in enumerate(both.examinations)]
    )
    with pytest.raises(InputError) as caught:
        both.table(("volume",), "III")
    assert caught.value.code == "input.two_grades"


def test_why_a_model_has_no_grade(tmp_path: Path) -> None:
    assert why_not_available(tmp_path, **(GLIOMA | {"licence": "metastases"})) == NO_GLIOMAS
    assert why_not_available(tmp_path, **GLIOMA) == NO_CLASSIFIER
    classifier().write(tmp_path / "grade.json")
    assert why_not_available(tmp_path, **GLIOMA) == OTHER_OUTLINES
    classifier(outlines="f1", auc_low=0.45).write(tmp_path / "grade.json")
    assert "not better than chance: AUC 0.80 (95 % interval 0.45 to 0.90" in why_not_available(tmp_path, **GLIOMA)
    assert usable_classifier(tmp_path, **GLIOMA) is None
    good = classifier(outlines="f1")
    good.write(tmp_path / "grade.json")
    assert why_not_available(tmp_path, **GLIOMA) == ""
    assert usable_classifier(tmp_path, **GLIOMA) == good
    (tmp_path / "grade.json").write_text("{", "utf-8")
    with pytest.raises(BundleError):
        usable_classifier(tmp_path, **GLIOMA)


@pytest.fixture
def glioma_bundle(tmp_path: Path, make_tiny_recipe: Callable[..., Any]) -> Path:
    """Return a bundle of gliomas that outlines some pixels of any picture."""
    import torch

    from metseg.model import build_from_recipe
    from metseg.model.bundle import save_bundle

    recipe = make_tiny_recipe("data.licence=low-grade glioma", "predict.threshold=0.3")
    torch.manual_seed(0)
    network = build_from_recipe(recipe)
    return save_bundle(tmp_path / "glioma", networks=[network], recipe=recipe, card="glioma", metrics={})


def test_document_and_report_show_a_grade_only_if_it_beats_chance(
    glioma_bundle: Path, tmp_path: Path, run_metseg: Run
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    generator = np.random.default_rng(0)
    for z in range(3):
        Image.fromarray(generator.integers(40, 220, (24, 24, 3), dtype=np.uint8)).save(pictures / f"P_{z}.png")

    def results(name: str) -> tuple[dict[str, Any], str]:
        out = tmp_path / name
        status, _, err = run_metseg("predict", pictures, "--model", glioma_bundle, "--out", out, "--format", "mask")
        assert status == 0, err
        (document,) = out.glob("*.json")
        status, _, err = run_metseg("report", document, "--model", glioma_bundle, "--format", "html")
        assert status == 0, err
        (page,) = out.glob("*.html")
        return json.loads(document.read_text("utf-8")), page.read_text("utf-8")

    document, page = results("without")
    assert document["lesions"], "the network has to find something for this test"
    assert "grade" not in document
    assert f"Not available: {NO_CLASSIFIER}." in page

    fingerprint = fingerprint_of(glioma_bundle)
    classifier(outlines=fingerprint, auc_low=0.4).write(glioma_bundle / "grade.json")
    document, page = results("chance")
    assert "grade" not in document
    assert "Not available: the classifier stored with this model is not better than chance" in page

    classifier(outlines=fingerprint).write(glioma_bundle / "grade.json")
    document, page = results("better")
    assert document["grade"]["grade"] in ("LGG", "HGG")
    assert document["grade"]["decided_by"][0]["feature"] == "head_share"
    assert f"{document['grade']['grade']} rather than" in page
    (grade,) = predict_grade(
        glioma_bundle / "grade.json", GradeData(pictures, model=glioma_bundle, quiet=True)
    ).values()
    assert grade.model_dump(mode="json") == document["grade"], "the command and the document agree"
    assert "not a diagnosis" in page
