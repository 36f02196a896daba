"""Results by groups of patients: means by hand, tables under the names of data sets, report and summary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.io.clinical import clinical_attributes, ranked_counts, read_clinical_table

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return truth and predictions of four patients: two of lung with Dice 1, one of breast with 0, one without row."""
    for patient, found in (("p1", True), ("p2", True), ("p3", False), ("p4", True)):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:8, 4:8] = 255
        for name, pixels in (("truth", mask), ("predicted", mask if found else mask.T[::-1])):
            path = tmp_path / name / patient / f"{patient}_1_mask.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels).save(path)
    (tmp_path / "table.csv").write_text("Patient,Primary_Cancer,Age\np1,lung,61\np2,lung,70\np3,breast,50\n", "utf-8")
    return tmp_path


def test_groups_have_their_own_means_and_are_in_summary_and_report(folders: Path, run_metseg: Run) -> None:
    out = folders / "out"
    ran = run_metseg(
        *("evaluate", folders / "truth", folders / "predicted", "--out", out, "--attributes", folders / "table.csv")
    )
    assert ran[0] == 0, ran
    groups = json.loads((out / "summary.json").read_text("utf-8"))["groups"]
    assert groups["column"] == "primary tumour"
    (members,) = groups["sets"].values()
    found = {one["value"]: (one["patients"], one["metrics"]["lesion"]["dice"]["mean"]) for one in members}
    assert found == {"lung": (2, 1.0), "breast": (1, 0.0), "not stated": (1, 1.0)}
    assert members[0]["metrics"]["lesion"]["dice"]["low"] == 1.0
    assert members[1]["metrics"]["lesion"]["dice"]["low"] is None  # a single patient has no interval
    assert members[1]["lesions"]["lesion"] == {"n_tp": 0, "n_fn": 1, "n_fp": 1}
    assert "lung" in ran[1]
    page = (out / "report.html").read_text("utf-8")
    assert "Results by primary tumour" in page
    assert "not tested against each other" in page


def test_another_column_can_be_named_and_a_wrong_one_is_refused(folders: Path, run_metseg: Run) -> None:
    common = ("evaluate", folders / "truth", folders / "predicted", "--out", folders / "out", "--no-report")
    table = ("--attributes", folders / "table.csv")
    ran = run_metseg(*common, *table, "--by", "age", "--json")
    assert {one["value"] for one in json.loads(ran[1])["groups"]["sets"]["predicted"]} == {
        "61",
        "70",
        "50",
        "not stated",
    }
    ran = run_metseg(*common, *table, "--by", "stage")
    assert ran[0] == 3
    assert "no row has a value in the column 'stage'" in ran[2]
    ran = run_metseg(*common, "--by", "age")
    assert ran[0] == 2
    assert "--by needs --attributes" in ran[2]


def test_columns_of_data_sets_have_one_name() -> None:
    assert clinical_attributes({"Primary Tumor": "Lung", "GENDER": "F", "Prior_Craniotomy": "yes"}) == {
        "primary tumour": "Lung",
        "sex": "F",
        "earlier treatment": "yes",
    }
    assert ranked_counts(["a", "b", "b", "c", "not stated"], most=1) == {"b": 2, "other": 2, "not stated": 1}


def test_a_table_without_patients_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("primary\nlung\n", "utf-8")
    with pytest.raises(InputError, match="no column of patients or cases"):
        read_clinical_table(tmp_path / "t.csv", column="primary")
