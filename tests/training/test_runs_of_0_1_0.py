"""Run folders that 0.1.0 left (``tests/fixtures/0.1.0/README.md``): read when finished, resumed when interrupted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metseg.training.run_folder import RunFolder
from metseg.training.run_scoring import ScoredRun

OLD = Path(__file__).parents[1] / "fixtures" / "0.1.0"
DATA = OLD / "slices"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return shutil.copytree(OLD / "run-finished", tmp_path / "finished")


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    return shutil.copytree(OLD / "run-unfinished", tmp_path / "unfinished")


def files(folder: Path) -> dict[str, bytes]:
    kept = [path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_a_finished_run_is_not_trained_again(finished: Path, run_metseg: Run) -> None:
    before = files(finished)
    recipe = finished / "recipe.toml"
    status, out, err = run_metseg("train", recipe, "--data", DATA, "--out", finished, "--resume", "--device", "cpu")
    assert status == 0, err
    assert f"bundle: {finished / 'bundle'}\n" in out
    assert files(finished) == before


def test_scores_and_snapshots_of_a_finished_run(finished: Path) -> None:
    scored = ScoredRun.load(RunFolder(finished).test)
    expected = pd.read_csv(finished / "test" / "cases.csv")
    assert [score.case for score in scored.scores] == list(expected["case"])
    assert [snapshot.patient for snapshot in scored.snapshots] == [score.patient for score in scored.scores]
    for score, dice in zip(scored.scores, expected["dice"], strict=True):
        assert score["lesion"]["dice"] == pytest.approx(dice, abs=1e-4)


def test_a_comparison_goes_on_with_a_finished_run(finished: Path, tmp_path: Path, run_metseg: Run) -> None:
    run = tmp_path / "comparison" / "tiny" / "run"
    shutil.copytree(finished, run)
    before = files(run)
    status, _, err = run_metseg(
        "compare", run / "recipe.toml", "--data", DATA, "--out", tmp_path / "comparison", "--device", "cpu"
    )
    assert status == 0, err
    assert files(run) == before
    assert (tmp_path / "comparison" / "report.html").exists()


def test_the_bundle_of_a_run_predicts(finished: Path, tmp_path: Path, run_metseg: Run) -> None:
    images = ("predict", DATA / "BraTS-MET-00003", "--out", tmp_path / "out", "--device", "cpu")
    status, _, err = run_metseg(*images, "--model", finished / "bundle")
    assert status == 0, err
    (document,) = (tmp_path / "out").rglob("*.json")
    assert json.loads(document.read_text())["model"] == "tiny"


def test_an_interrupted_run_goes_on_to_the_same_result(unfinished: Path, finished: Path, run_metseg: Run) -> None:
    """The epochs that today's code adds are those that 0.1.0 would have trained."""
    recipe = unfinished / "recipe.toml"
    status, out, err = run_metseg("train", recipe, "--data", DATA, "--out", unfinished, "--resume", "--device", "cpu")
    assert status == 0, err
    assert f"bundle: {unfinished / 'bundle'}\n" in out
    ours, theirs = (pd.read_csv(run / "epochs.csv") for run in (unfinished, finished))
    assert list(ours["step"]) == list(theirs["step"]) == [2, 4, 6]
    np.testing.assert_allclose(ours["train_loss"], theirs["train_loss"], rtol=1e-3)
    assert json.loads((unfinished / "run.json").read_text())["state"] == "finished"


def test_changed_data_are_noticed_by_the_record_of_0_1_0(unfinished: Path, tmp_path: Path, run_metseg: Run) -> None:
    data = shutil.copytree(DATA, tmp_path / "data")
    one, other = sorted(path for path in data.rglob("BraTS-MET-00001-*.png") if "mask" not in path.name)[:2]
    one.write_bytes(other.read_bytes())
    recipe = unfinished / "recipe.toml"
    status, _, err = run_metseg("train", recipe, "--data", data, "--out", unfinished, "--resume", "--device", "cpu")
    assert status == 2, err
    assert "images or masks have changed since the run was started" in err
    assert "BraTS-MET-00001" in err
