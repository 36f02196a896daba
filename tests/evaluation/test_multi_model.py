"""One set of predictions, several, and a second reader: what is written where, and that the same cases meet."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.cli.evaluate_tables import print_evaluation
from metseg.cli.option_parsing import named_paths
from metseg.errors import InputError, UsageError
from metseg.evaluation import PredictionSets, evaluate_sets

Run = Callable[..., tuple[int, str, str]]


def mask(shift: int, seed: int) -> np.ndarray:
    labels = np.zeros((16, 8, 8), dtype=np.uint8)
    labels[2 + shift : 8 + shift, 2:6, 2 : 4 + seed % 3] = 1
    return labels


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Six cases: truth, two models, and a second reader who drew four of them."""
    for seed in range(6):
        for name, shift in (("truth", 0), ("near", 1), ("far", 4), ("second", 2)):
            if name == "second" and seed >= 4:
                continue
            (tmp_path / name).mkdir(exist_ok=True)
            image = nib.Nifti1Image(mask(shift, seed), np.eye(4))
            nib.save(image, tmp_path / name / f"c{seed}-seg.nii.gz")
    return tmp_path


def document(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "summary.json").read_text("utf-8"))
    return found


def test_one_set_lies_in_the_folder_itself(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluation = evaluate_sets(PredictionSets({"near": folders / "near"}, folders / "truth"), out=out, quiet=True)
    assert sorted(path.name for path in out.iterdir()) == ["cases.csv", "lesions.csv", "summary.json"]
    assert document(out) == json.loads(json.dumps(evaluation.to_json()))
    assert document(out)["cases"] == 6
    assert (document(out)["comparisons"], document(out)["readers"]) == ([], None)


def test_several_sets_are_compared(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sets = PredictionSets({"near": folders / "near", "far": folders / "far"}, folders / "truth")
    evaluation = evaluate_sets(sets, out=out, quiet=True)
    assert list(evaluation.sets) == ["near", "far"]
    assert len(evaluation.sets["far"].scores) == 6
    for name in ("near", "far"):
        assert sorted(path.name for path in (out / name).iterdir()) == ["cases.csv", "lesions.csv", "summary.json"]
        models = document(out)["models"]
        assert isinstance(models, dict)
        assert models[name] == document(out / name)
    dice = evaluation.comparisons[0]
    assert (dice.title, dice.pairs[0].better) == ("lesion, Dice", "near")


def test_a_second_reader_who_drew_some_cases(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sets = PredictionSets({"near": folders / "near"}, folders / "truth", second_truth=folders / "second")
    readers = evaluate_sets(sets, out=out, quiet=True).readers
    assert readers is not None
    assert readers.cases == 4
    (dice,) = [one for one in readers.agreements if one.metric == "dice"]
    assert dice.readers.mean == pytest.approx(4 / 6)  # moved by two of six voxels
    assert dice.models["near"].with_readers.mean == pytest.approx(5 / 6)  # by one from either
    assert dice.models["near"].verdict == "no difference shown (4 patients, at least 6 are needed)"
    assert sorted(path.name for path in (out / "readers").iterdir()) == ["near-first", "near-second", "second-reader"]


def test_of_slices_only_those_that_both_readers_drew_are_compared(tmp_path: Path) -> None:
    plane = np.zeros((8, 8), dtype=np.uint8)
    plane[2:6, 2:6] = 255
    for z in range(4):
        for name in ("truth", "model", "second"):
            if name == "second" and z >= 2:
                continue
            (tmp_path / name / "p1").mkdir(parents=True, exist_ok=True)
            # the model misses the two slices that the second reader did not draw
            drawn = plane * 0 if name == "model" and z >= 2 else plane
            Image.fromarray(drawn).save(tmp_path / name / "p1" / f"{z}_mask.png")
    sets = PredictionSets({"model": tmp_path / "model"}, tmp_path / "truth", second_truth=tmp_path / "second")
    evaluation = evaluate_sets(sets, out=tmp_path / "out", quiet=True)
    assert evaluation.sets["model"].scores[0]["lesion"]["dice"] == pytest.approx(2 / 3)
    assert evaluation.readers is not None
    (dice,) = evaluation.readers.agreements  # pictures have no distances
    assert dice.models["model"].with_first.mean == 1.0


def test_everything_is_paired_before_anything_is_scored(folders: Path, tmp_path: Path) -> None:
    (folders / "far" / "c3-seg.nii.gz").unlink()
    out = tmp_path / "out"
    with pytest.raises(InputError, match="c3"):
        evaluate_sets(
            PredictionSets({"near": folders / "near", "far": folders / "far"}, folders / "truth"), out=out, quiet=True
        )
    assert not out.exists()
    sets = PredictionSets({"near": folders / "near", "far": folders / "far"}, folders / "truth", missing="empty")
    assert len(evaluate_sets(sets, out=out, quiet=True).sets["far"].scores) == 6


def test_names_of_sets() -> None:
    assert named_paths(["a/one", "two=b/one"]) == {"one": Path("a/one"), "two": Path("b/one")}
    with pytest.raises(UsageError, match="called 'one'"):
        named_paths(["a/one", "b/one"])
    with pytest.raises(UsageError, match="no predictions"):
        PredictionSets({}, Path("truth"))
    for wrong in ("", "..", "a/b", "readers"):
        with pytest.raises(UsageError, match="not a valid name"):
            PredictionSets({wrong: Path("a"), "b": Path("b")}, Path("truth"))


def test_a_path_with_an_equals_sign_is_still_a_path(tmp_path: Path) -> None:
    (tmp_path / "rate=1").mkdir()
    assert named_paths([str(tmp_path / "rate=1")]) == {"rate=1": tmp_path / "rate=1"}


def test_the_command_compares_and_sets_beside_readers(folders: Path, tmp_path: Path, run_metseg: Run) -> None:
    paths = ["--truth", folders / "truth", "--second-truth", folders / "second", "--out", tmp_path / "out"]
    sets = ["--predictions", folders / "near", "--predictions", f"distant={folders / 'far'}"]
    paths += ["--jobs", 1, "--no-report"]
    status, out, err = run_metseg("evaluate", *sets, *paths)
    assert status == 0, err
    assert "lesion, Dice: near - distant = " in out
    assert "near is better" in out
    assert "lesion, Dice: between the readers 0.667" in out
    status, out, _ = run_metseg("evaluate", *sets, *paths, "--json")
    assert json.loads(out) == document(tmp_path / "out")


def test_what_marks_everything_or_nothing_is_named_before_any_figure(folders: Path, tmp_path: Path) -> None:
    for name, value in (("all", 1), ("none", 0)):
        (tmp_path / name).mkdir()
        for seed in range(6):
            image = nib.Nifti1Image(np.full((16, 8, 8), value, dtype=np.uint8), np.eye(4))
            nib.save(image, tmp_path / name / f"c{seed}-seg.nii.gz")
    sets = PredictionSets({name: tmp_path / name for name in ("all", "none")}, folders / "truth")
    evaluation = evaluate_sets(sets, out=tmp_path / "out", quiet=True)
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        print_evaluation(evaluation, tmp_path / "out")
    lines = told.getvalue().splitlines()
    assert lines[0].startswith("warning: all: the predictions mark nearly everything as lesion: 100% of all voxels")
    assert lines[1] == "warning: none: the predictions do not mark any lesion in 6 cases; the truth has one in 6"
    assert told.getvalue().count("the predictions ") == 2
    few = next(number for number, line in enumerate(lines) if "are too narrow" in line)
    assert few < next(number for number, line in enumerate(lines) if "all - none" in line)
