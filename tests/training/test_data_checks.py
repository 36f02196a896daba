"""What a training looks at before it begins: copies across the split, masks without lesions, changed data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, move

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import metseg
from metseg.errors import UsageError
from metseg.io.splits import Split
from metseg.model.bundle import load_bundle

GOES_ON = "the run continues with 1 changed case: P1"
Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tiny_slices: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny data set that a test may change; its files are not new."""
    root = tmp_path / "data"
    copytree(tiny_slices, root)
    for path in root.rglob("*.png"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return root


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    path = tmp_path / "split.json"
    Split(train=("P0", "P1", "P2", "P3"), validation=("P4", "P5"), test=("P6", "P7")).save(path)
    return path


@pytest.fixture
def train(tmp_path: Path, data: Path, split_file: Path, recipe_file: Callable[..., Path], run_metseg: Train) -> Train:
    def run(
        *more: object, changes: tuple[str, ...] = ("train.max_steps=8",), root: Path = data
    ) -> tuple[int, str, str]:
        paths = ("--data", root, "--out", tmp_path / "run", "--cache", tmp_path / "cache", "--split", split_file)
        return run_metseg("train", recipe_file(*changes), *paths, *more)

    return run


def without_lesions(root: Path, *patients: str) -> None:
    for patient in patients:
        for path in (root / patient).glob("*_mask.png"):
            Image.fromarray(np.zeros((24, 24), np.uint8)).save(path)


def test_equal_pixels_on_both_sides_of_the_split_are_a_leak(train: Train, data: Path, tmp_path: Path) -> None:
    for z in range(4):  # P6, for the test, is P0 under another name
        for ending in (".png", "_mask.png"):
            (data / "P6" / f"P6_{z}{ending}").write_bytes((data / "P0" / f"P0_{z}{ending}").read_bytes())
    status, _, err = train()
    assert status == 0
    said = "patients in different parts of the split have equal images (P0 = P6)"
    assert f"warning: {said}: scores will be too good" in err
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.metrics["leaks_patients"] is True
    assert bundle.split["duplicates"] == [["P0", "P6"]]
    assert f"**Leaks patients**: {said}, so these figures are too good." in bundle.card


def test_training_masks_without_a_lesion_are_refused(train: Train, data: Path, tmp_path: Path) -> None:
    without_lesions(data, "P0", "P1", "P2", "P3")
    status, out, err = train("--json")
    assert (status, out) == (3, "")
    assert "metseg: the masks of all 4 training cases are empty" in err.splitlines()[-1]
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_validation_without_lesions_is_said_and_the_loss_decides(train: Train, data: Path, tmp_path: Path) -> None:
    without_lesions(data, "P4", "P5")
    status, _, err = train(changes=("train.max_steps=16",))
    assert status == 0
    assert "no validation patient has a lesion" in err
    assert err.index("no validation patient has a lesion") < err.index("tiny: epoch 0")
    epochs = pd.read_csv(tmp_path / "run" / "epochs.csv")
    assert epochs["val_dice"].isna().all()
    metrics = load_bundle(tmp_path / "run" / "bundle").metrics
    assert metrics["best_epoch"] == epochs["epoch"][epochs["val_loss"].idxmin()]


def test_a_validation_patient_without_a_lesion_does_not_count(train: Train, data: Path, tmp_path: Path) -> None:
    """A network that marks nothing has Dice 1 for such a patient, and 0 for the other one."""
    without_lesions(data, "P4")
    # Steps so small that nothing is learnt, a threshold that nothing reaches: nothing is ever marked.
    changes = ("train.max_steps=4", "train.learning_rate=1e-12", "predict.threshold=0.9999")
    status, _, err = train(changes=changes)
    assert status == 0
    assert "1 of 2 validation patients without a lesion do not count in the validation Dice" in err
    assert pd.read_csv(tmp_path / "run" / "epochs.csv")["val_dice"].max() < 0.01
    # One of the two has a lesion; of the two for the test, both.
    card = load_bundle(tmp_path / "run" / "bundle").card
    for part, having in (("validation", 1), ("test", 2)):
        said = (
            f"on the {part} patients the predictions do not mark any lesion in 2 cases; the truth has one in {having}"
        )
        assert f"**Says nothing**: {said}." in card
        assert f"warning: tiny: {said}" in err


def test_a_run_is_not_resumed_on_changed_masks_unless_asked_for(train: Train, data: Path, tmp_path: Path) -> None:
    assert train()[0] == 0
    _unfinish(tmp_path / "run")
    mask = data / "P1" / "P1_2_mask.png"
    Image.fromarray(255 - np.asarray(Image.open(mask))).save(mask)
    status, _, err = train("--resume")
    assert status == 2
    assert "images or masks have changed since the run was started" in err
    assert "1 changed case: P1" in err
    assert not (tmp_path / "run" / "bundle").exists()
    status, _, err = train("--resume", "--allow-changed-data")
    assert status == 0
    assert "continues with 1 changed case: P1" in err
    _unfinish(tmp_path / "run")
    assert train("--resume")[0] == 0  # it is known now
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.metrics["changed_data"] == [GOES_ON]
    assert f"**Changed data**: {GOES_ON}." in bundle.card


@pytest.mark.parametrize("command", ["train", "compare"])
def test_changed_data_are_allowed_only_where_a_run_goes_on(
    command: str, data: Path, tmp_path: Path, recipe_file: Callable[..., Path], run_metseg: Train
) -> None:
    out = tmp_path / "new"
    status, _, err = run_metseg(command, recipe_file(), "--data", data, "--out", out, "--allow-changed-data")
    assert status == 2
    reason = {"train": "needs --resume", "compare": "continues existing runs"}[command]
    assert f"--allow-changed-data {reason}" in err
    assert not (out / "recipe.toml").exists()
    recipe = recipe_file()
    call = {
        "train": metseg.train,
        "compare": lambda recipe, *more, **options: metseg.compare([recipe], *more, **options),
    }
    with pytest.raises(UsageError, match=f"--allow-changed-data {reason}"):
        call[command](recipe, data, out, allow_changed_data=True)


def test_an_interrupted_comparison_goes_on_with_changed_data_where_asked_for(
    data: Path, tmp_path: Path, split_file: Path, recipe_file: Callable[..., Path], run_metseg: Train
) -> None:
    recipe = recipe_file("train.max_steps=4", "name=one")
    words = ("compare", recipe, "--data", data, "--out", tmp_path / "out", "--split", split_file)
    assert run_metseg(*words)[0] == 0
    _unfinish(tmp_path / "out" / "one" / "run")
    (tmp_path / "out" / "results.json").unlink()
    without_lesions(data, "P1")
    status, _, err = run_metseg(*words, "--overwrite")
    assert (status, "continue anyway with --allow-changed-data" in err) == (2, True)
    status, _, err = run_metseg(*words, "--overwrite", "--allow-changed-data")
    assert status == 0, err
    assert load_bundle(tmp_path / "out" / "one" / "run" / "bundle").metrics["changed_data"] == [GOES_ON]
    assert f"one: {GOES_ON}" in json.loads((tmp_path / "out" / "results.json").read_text())["warnings"]


def test_a_run_of_another_recipe_keeps_its_record(train: Train, data: Path, tmp_path: Path) -> None:
    assert train()[0] == 0
    run = tmp_path / "run"
    _unfinish(run)
    before = (run / "data.json").read_bytes()
    without_lesions(data, "P1")
    status, _, err = train("--resume", "--allow-changed-data", changes=("train.max_steps=9",))
    assert (status, "started with another recipe" in err) == (2, True)
    status, _, err = train("--resume", "--allow-changed-data", "--fold", 1)
    assert status != 0
    assert (run / "data.json").read_bytes() == before


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": "metseg-run-data", "version": 2, "cases": {}}', '{"version": 1, "cases": {}}']
)
def test_a_record_that_cannot_be_read_is_no_missing_one(train: Train, data: Path, tmp_path: Path, content: str) -> None:
    assert train(changes=("train.max_steps=4",))[0] == 0
    run = tmp_path / "run"
    _unfinish(run)
    (run / "data.json").write_text(content)
    status, _, err = train("--resume", changes=("train.max_steps=4",))
    assert (status, "cannot read the record of the run's original data" in err) == (2, True)
    assert (run / "data.json").read_text() == content
    status, _, err = train("--resume", "--allow-changed-data", changes=("train.max_steps=4",))
    assert (status, "the run continues with data that may have changed" in err) == (0, True)
    assert len(json.loads((run / "data.json").read_text())["cases"]) == 8


def test_test_patients_count_too(train: Train, data: Path, tmp_path: Path) -> None:
    assert train()[0] == 0
    _unfinish(tmp_path / "run")
    Image.fromarray(np.full((24, 24), 255, np.uint8)).save(data / "P7" / "P7_0_mask.png")
    status, _, err = train("--resume")
    assert status == 2
    assert "1 changed case: P7" in err


def test_a_data_set_that_was_moved_is_the_same(train: Train, data: Path, tmp_path: Path) -> None:
    assert train()[0] == 0
    _unfinish(tmp_path / "run")
    move(data, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*.png"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    status, _, err = train("--resume", root=tmp_path / "elsewhere")
    assert (status, "changed" in err) == (0, False)


def test_a_run_of_before_without_a_record_is_resumed(train: Train, tmp_path: Path) -> None:
    assert train()[0] == 0
    _unfinish(tmp_path / "run")
    (tmp_path / "run" / "data.json").unlink()
    assert train("--resume")[0] == 0
    assert set(json.loads((tmp_path / "run" / "data.json").read_text())["cases"]) == {f"P{n}" for n in range(8)}


def _unfinish(run: Path) -> None:
    """Make a run one that was killed before its bundle was written."""
    from shutil import rmtree

    rmtree(run / "bundle")
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**state, "state": "begun"}))


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("change", ["split.seed=7", 'split.by="slice"', "split={seed = 3}"])
def test_a_split_file_and_a_change_of_the_split_are_refused(
    command: str,
    change: str,
    tmp_path: Path,
    data: Path,
    split_file: Path,
    recipe_file: Callable[..., Path],
    run_metseg: Train,
) -> None:
    out = tmp_path / "run"
    status, _, err = run_metseg(
        command, recipe_file(), "--data", data, "--out", out, "--split", split_file, "--set", change
    )
    assert status == 2
    assert "the split file defines the split" in err
    assert not out.exists()


def test_the_bundles_recipe_describes_the_split_that_was_used(train: Train, tmp_path: Path) -> None:
    # The recipe asks for 40 % and 20 % by seed 0; the file has 2, 2 and 4 of 8.
    assert train(changes=("train.max_steps=4", "split.seed=9", 'split.by="slice"'))[0] == 0
    part = load_bundle(tmp_path / "run" / "bundle").recipe.split
    assert (part.by, part.seed, part.test, part.validation, part.folds) == ("patient", 0, 0.25, 0.25, 0)


def test_a_finished_run_is_not_taken_for_one_on_other_data(train: Train, data: Path, tmp_path: Path) -> None:
    assert train()[0] == 0
    written = (tmp_path / "run" / "data.json").read_bytes()
    without_lesions(data, "P1")
    status, out, err = train("--resume")
    assert (status, out) == (2, "")
    assert "images or masks have changed since the run was started" in err
    assert "1 changed case: P1" in err
    status, out, err = train("--resume", "--allow-changed-data")
    assert status == 0
    assert f"bundle: {tmp_path / 'run' / 'bundle'}\n" in out
    assert "warning: the run is finished and was not trained on 1 changed case: P1" in err
    assert (tmp_path / "run" / "data.json").read_bytes() == written


def test_a_finished_run_is_not_taken_for_one_of_other_patients_or_another_split(
    train: Train, data: Path, tmp_path: Path, split_file: Path
) -> None:
    assert train()[0] == 0
    others = tmp_path / "others"
    for number in range(8):
        copytree(data / f"P{number}", others / f"Q{number}")
    status, _, err = train("--resume", root=others)
    assert status == 2
    assert "16 changed cases: P0, P1, P2 and 13 more" in err
    Split(train=("P0", "P1", "P2"), validation=("P3", "P4", "P5"), test=("P6", "P7")).save(split_file)
    status, _, err = train("--resume")
    assert (status, "the run was started with another split" in err) == (2, True)


def test_finished_runs_of_a_comparison_are_not_taken_for_runs_on_other_data(
    data: Path, tmp_path: Path, split_file: Path, recipe_file: Callable[..., Path], run_metseg: Train
) -> None:
    recipe = recipe_file("train.max_steps=4", "name=one")
    words = ("compare", recipe, "--data", data, "--out", tmp_path / "out", "--split", split_file, "--overwrite")
    assert run_metseg(*words)[0] == 0
    without_lesions(data, "P1")
    status, _, err = run_metseg(*words)
    assert (status, "1 changed case: P1" in err) == (2, True)
    status, _, err = run_metseg(*words, "--allow-changed-data")
    assert status == 0, err
    said = "one: the run is finished and was not trained on 1 changed case: P1"
    assert said in json.loads((tmp_path / "out" / "results.json").read_text())["warnings"]


def _refused_without_lesions(data: Path, patch: pytest.MonkeyPatch) -> None:
    without_lesions(data, *(f"P{number}" for number in range(8)))


def _refused_for_an_unreadable_case(data: Path, patch: pytest.MonkeyPatch) -> None:
    (data / "P0" / "P0_1_mask.png").write_bytes(b"no picture")


def _refused_for_memory(data: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("metseg.training.memory_estimate.free_memory", lambda device: 1000)


def _refused_for_a_missing_sequence(data: Path, patch: pytest.MonkeyPatch) -> None:
    for path in data.rglob("*[0-9].png"):
        Image.open(path).convert("L").save(path)


REFUSALS = (
    (_refused_without_lesions, 3, "training cases are empty", False),
    (_refused_for_an_unreadable_case, 3, "P0_1_mask.png", False),
    (_refused_for_memory, 5, "more memory than is free", True),
    (_refused_for_a_missing_sequence, 3, "P0", False),
)


@pytest.mark.parametrize(("spoil", "status", "said", "keeps_cache"), REFUSALS)
@pytest.mark.parametrize("there_before", [False, True])
def test_a_refused_training_leaves_no_run_behind(
    data: Path,
    tmp_path: Path,
    recipe_file: Callable[..., Path],
    run_metseg: Train,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    status: int,
    said: str,
    keeps_cache: bool,
    there_before: bool,
) -> None:
    out = tmp_path / "above" / "run"
    if there_before:
        out.mkdir(parents=True)
        (out / "notes.txt").write_text("mine")
    spoil(data, monkeypatch)
    for _ in range(2):  # the second time it says the same
        found, _, err = run_metseg("train", recipe_file(), "--data", data, "--out", out)
        assert (found, said in err) == (status, True), err
        left = {path.name for path in out.iterdir()} if out.exists() else set()
        assert left == ({"notes.txt"} if there_before else set()) | ({"cache"} if keeps_cache else set())
    if not there_before and not keeps_cache:
        assert not out.parent.exists()
