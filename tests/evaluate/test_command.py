"""``metseg evaluate``: one JSON document, or a table for people."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from metseg.cli.evaluate import evaluate


@pytest.fixture
def run(tmp_path: Path) -> object:
    """Return a function that runs the command on two small cases, one of them empty on both sides."""
    mask = np.zeros((8, 8, 8), dtype=np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    for case, truth, prediction in (("c1", mask, np.roll(mask, 1, axis=0)), ("c2", mask * 0, mask * 0)):
        for side, data in (("truth", truth), ("predictions", prediction)):
            (tmp_path / side).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / side / f"{case}-seg.nii.gz")
    app = typer.Typer()
    app.command()(evaluate)

    def invoke(*more: str) -> object:
        paths = ["--predictions", tmp_path / "predictions", "--truth", tmp_path / "truth", "--out", tmp_path / "out"]
        return CliRunner().invoke(app, [*map(str, paths), *more], env={"COLUMNS": "80"})

    return invoke


def test_json_is_one_document_and_that_of_the_file(run: object, tmp_path: Path) -> None:
    result = run("--json")  # type: ignore[operator]
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert document["regions"]["lesion"]["metrics"]["dice"]["mean"] == pytest.approx((2 / 3 + 1) / 2)


def test_the_table_shows_interval_lesions_and_empty_cases(run: object) -> None:
    result = run()  # type: ignore[operator]
    assert result.exit_code == 0, result.output
    assert "0.833" in result.stdout
    assert "[0.67, 1.00]" in result.stdout
    assert "1 of 1" in result.stdout
    assert "cases with nothing: 1 in both, 0 in the truth only, 0 in the prediction only" in result.stdout
    assert "micro iou with background" in result.stdout
    assert "2 cases of 2 patients" in result.stdout


def test_protocol_and_labels_reach_the_evaluator(run: object, tmp_path: Path) -> None:
    result = run("--protocol", "brats-met-2023", "--json")  # type: ignore[operator]
    assert list(json.loads(result.stdout)["regions"]) == ["WT", "TC", "ET"]
    result = run("--labels", "brats-met-2024", "--json")  # type: ignore[operator]
    assert list(json.loads(result.stdout)["regions"]) == ["WT", "TC", "ET", "RC"]
