"""``metseg evaluate``: one JSON document, or a table for people; errors on one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, run_metseg: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command on two small cases, one of them empty on both sides."""
    monkeypatch.setenv("COLUMNS", "80")
    mask = np.zeros((8, 8, 8), dtype=np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    for case, truth, prediction in (("c1", mask, np.roll(mask, 1, axis=0)), ("c2", mask * 0, mask * 0)):
        for side, data in (("truth", truth), ("predictions", prediction)):
            (tmp_path / side).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / side / f"{case}-seg.nii.gz")

    def invoke(*more: str) -> tuple[int, str, str]:
        paths = ["--predictions", tmp_path / "predictions", "--truth", tmp_path / "truth", "--out", tmp_path / "out"]
        return run_metseg("evaluate", *paths, "--jobs", 1, "--no-report", *more)

    return invoke


def test_json_is_one_document_and_that_of_the_file(run: Run, tmp_path: Path) -> None:
    status, out, err = run("--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document == json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert document["regions"]["lesion"]["metrics"]["dice"]["mean"] == pytest.approx((2 / 3 + 1) / 2)


def test_the_table_shows_interval_lesions_and_empty_cases(run: Run) -> None:
    status, out, _ = run()
    assert status == 0
    assert "0.833" in out
    assert "[0.667, 1.000]" in out  # with the digits of the mean
    assert "1 of 1" in out
    assert "empty cases: 1 in both, 0 in the truth only, 0 in the prediction only" in out
    assert "micro iou with background" in out
    assert "2 cases of 2 patients" in out


def test_lesions_of_slices_are_said_to_be_counted_in_each_slice(run: Run, run_metseg: Run, tmp_path: Path) -> None:
    counted = "lesions are counted in each slice: a lesion that five slices show counts as five\n"
    _, out, _ = run()
    assert counted not in out
    square = np.zeros((16, 16), np.uint8)
    square[4:9, 4:9] = 255
    for side in ("true", "found"):
        (tmp_path / side / "P1").mkdir(parents=True)
        for z in range(5):
            Image.fromarray(square).save(tmp_path / side / "P1" / f"P1_{z}_mask.png")
    words = (tmp_path / "true", tmp_path / "found", "--out", tmp_path / "scores", "--jobs", 1, "--no-report")
    status, out, err = run_metseg("evaluate", *words)
    assert status == 0, err
    assert "5 of 5" in out
    assert counted in out


def test_protocol_and_labels_reach_the_evaluator(run: Run) -> None:
    _, out, _ = run("--protocol", "brats-met-2023", "--json")
    assert list(json.loads(out)["regions"]) == ["WT", "TC", "ET"]
    _, out, _ = run("--labels", "brats-met-2024", "--json")
    assert list(json.loads(out)["regions"]) == ["WT", "TC", "ET", "RC"]


def test_masks_of_several_labels_name_the_option_that_helps(run_metseg: Run, tmp_path: Path) -> None:
    mask = np.zeros((8, 8, 8), dtype=np.uint8)
    mask[2:5, 2:5, 2:5] = 2
    mask[3, 3, 3] = 3
    for side in ("truth", "found"):
        (tmp_path / side).mkdir()
        nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / side / "c1-seg.nii.gz")
    call = ("evaluate", tmp_path / "truth", tmp_path / "found", "--out", tmp_path / "out", "--jobs", 1, "--no-report")
    status, _, err = run_metseg(*call)
    assert status == 3
    assert "unknown label 2 and 1 more" in err
    assert "such as brats-met-2023 (1 = NETC, 2 = SNFH, 3 = ET) or " in err
    assert "(--labels brats-met-2023) (of one side alone: --truth-labels, --prediction-labels)" in err
    assert "--set" not in err  # an option of other commands
    status, out, err = run_metseg(*call, "--labels", "brats-met-2023")
    assert (status, "WT" in out) == (0, True), err


def test_an_unknown_protocol_is_a_wrong_command(run: Run, tmp_path: Path) -> None:
    status, out, err = run("--protocol", "voxels")
    assert (status, out) == (2, "")
    assert err.startswith("metseg: Unknown protocol 'voxels'. Did you mean 'voxel'?")
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "cases.csv").exists()


def test_a_missing_prediction_is_wrong_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "predictions" / "c2-seg.nii.gz").unlink()
    status, out, err = run("--json")
    assert (status, out) == (3, "")
    assert err.startswith("metseg: ")
    assert err.count("\n") == 1
    assert "c2" in err
    assert run("--missing", "empty", "--json")[0] == 0


def test_truth_and_predictions_can_be_arguments(run: Run, run_metseg: Run, tmp_path: Path) -> None:
    _, with_options, _ = run("--json")
    truth, predictions = tmp_path / "truth", tmp_path / "predictions"
    more = ("--out", tmp_path / "again", "--jobs", 1, "--no-report", "--json")
    assert run_metseg("evaluate", truth, predictions, *more) == (0, with_options, "")
    status, out, err = run_metseg("evaluate", truth, f"one={predictions}", f"two={predictions}", *more)
    assert status == 0, err
    assert list(json.loads(out)["models"]) == ["one", "two"]


def test_scores_go_to_a_folder_of_their_own_by_default(
    run: Run, run_metseg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run_metseg("evaluate", "truth", "predictions", "--jobs", 1, "--no-report")
    assert status == 0, err
    assert out.splitlines()[-1].endswith("tables in scores")
    assert (tmp_path / "scores" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "truth and predictions missing"),
        (("truth",), "predictions missing"),
        (("--predictions", "p"), "truth missing"),
        (("--truth", "t"), "predictions missing"),
        (("t", "p", "--truth", "t"), "given as arguments and as options"),
        (("t", "--predictions", "p"), "given as arguments and as options"),
    ],
)
def test_truth_and_predictions_are_given_once(run_metseg: Run, words: tuple[str, ...], message: str) -> None:
    status, out, err = run_metseg("evaluate", *words)
    assert (status, out) == (2, "")
    assert err.startswith(f"metseg: evaluate: {message}" if "missing" in message else "metseg: evaluate: ")
    assert message in err


@pytest.mark.parametrize("width", [80, 100])
def test_tables_of_many_regions_fit_without_broken_intervals(
    run: Run, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run("--labels", "brats-met-2024")
    rows = [line for line in out.splitlines() if line[:1] in "┃│┏┡└├"]
    assert max(map(len, rows)) <= width
    assert not [line for line in rows if line.count("[") != line.count("]")]
    assert {name for name in ("WT", "TC", "ET", "RC") if f" {name} " in out} == {"WT", "TC", "ET", "RC"}


def test_a_warning_of_all_sets_is_printed_once(run: Run, run_metseg: Run, tmp_path: Path) -> None:
    (tmp_path / "predictions" / "c2-seg.nii.gz").unlink()
    truth, predictions = tmp_path / "truth", tmp_path / "predictions"
    more = ("--missing", "empty", "--out", tmp_path / "two", "--jobs", 1, "--no-report")
    status, _, err = run_metseg("evaluate", truth, f"one={predictions}", f"two={predictions}", *more)
    assert status == 0, err
    lines = err.splitlines()
    assert len([line for line in lines if "c2" in line]) == 1
    assert len(lines) == len(set(lines))
