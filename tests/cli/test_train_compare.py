"""``metseg train`` and ``metseg compare`` as they are called."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metseg.model.bundle import load_bundle
from metseg.recipe import Recipe

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recipe_file(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> Callable[..., Path]:
    def write(name: str, *changes: str) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(make_tiny_recipe(f"name={name}", *changes).to_toml(), "utf-8")
        return path

    return write


def test_train_ends_in_a_bundle_and_one_document(
    run_metseg: Run, recipe_file: Callable[..., Path], tiny_slices: Path, tiny_cache: Path, tmp_path: Path
) -> None:
    paths = ("--data", tiny_slices, "--out", tmp_path / "run", "--cache", tiny_cache)
    status, out, err = run_metseg(
        "train", recipe_file("one"), *paths, "--set", "train.max_steps=3", "--device", "cpu", "--json"
    )
    assert status == 0, err
    document = json.loads(out)
    assert load_bundle(document["bundle"]).recipe.name == "one"
    assert document["metrics"]["steps"] == 3
    status, out, err = run_metseg("train", recipe_file("one"), *paths, "--device", "cpu")
    assert (status, out) == (2, "")  # the folder holds a run
    assert err.splitlines()[-1].startswith("metseg: ")


def test_train_ends_with_scores_and_a_command_that_works(
    run_metseg: Run,
    recipe_file: Callable[..., Path],
    tiny_slices: Path,
    tiny_cache: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "runs" / "a b"
    words = ("--data", tiny_slices, "--out", run, "--cache", tiny_cache, "--set", "train.max_steps=3")
    status, out, err = run_metseg("train", recipe_file("one"), *words, "--device", "cpu")
    assert status == 0, err
    title, scores, counted, bundle, command = out.splitlines()
    assert title == "scores of 3 test patients, mean [95 % interval over patients]:"
    found = r"\d+ of \d+ lesions found, \d+ false"
    assert re.fullmatch(rf"  lesion: Dice \d\.\d{{3}} \[\d\.\d{{3}}, \d\.\d{{3}}\]; {found}", scores), scores
    assert counted == "  lesions are counted in each slice: a lesion that five slices show counts as five"
    assert bundle == f"bundle: {run / 'bundle'}"
    program, *words = shlex.split(command.removeprefix("next: "))
    assert program == "metseg"
    status, out, err = run_metseg(*words)
    assert status == 0, err
    assert out.startswith("12 pictures, ")  # of the three test patients
    assert len(list((run / "predictions").glob("*.json"))) == 3


def test_train_without_test_patients_ends_with_the_scores_of_its_fold(
    run_metseg: Run, recipe_file: Callable[..., Path], tiny_slices: Path, tiny_cache: Path, tmp_path: Path
) -> None:
    split = tmp_path / "split.json"
    assert run_metseg("split", tiny_slices, "--out", split, "--folds", 4, "--test", 0)[0] == 0
    words = ("--data", tiny_slices, "--out", tmp_path / "run", "--cache", tiny_cache, "--set", "train.max_steps=3")
    status, out, err = run_metseg("train", recipe_file("one"), *words, "--split", split, "--fold", 2, "--device", "cpu")
    assert status == 0, err
    assert out.startswith("scores of 2 validation patients")
    assert "--part validation --fold 2" in out.splitlines()[-1]
    assert run_metseg(*shlex.split(out.splitlines()[-1].removeprefix("next: metseg ")))[0] == 0


def test_compare_trains_judges_and_writes(
    run_metseg: Run,
    recipe_file: Callable[..., Path],
    tiny_slices: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipes = (recipe_file("small"), recipe_file("wide", "model.channels=[6, 6]"))
    words = ("compare", *recipes, "--data", tiny_slices, "--out", tmp_path / "out", "--set", "train.max_steps=3")
    status, out, err = run_metseg(*words, "--device", "cpu", "--json")
    assert status == 0, err
    document = json.loads(out)
    assert {name: model["steps"] for name, model in document["models"].items()} == {"small": 3, "wide": 3}
    assert json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))["verdict"] == document["verdict"]

    before = (tmp_path / "out" / "results.json").read_bytes()
    status, out, err = run_metseg(*words, "--device", "cpu")
    assert (status, out) == (2, "")
    assert "--overwrite" in err
    assert (tmp_path / "out" / "results.json").read_bytes() == before

    status, out, err = run_metseg(*words, "--device", "cpu", "--overwrite")  # finished runs are not repeated
    assert status == 0, err
    assert [line.split(" |")[0] for line in out.splitlines() if line.startswith("| ")][2:] == ["| small", "| wide"]
    assert document["verdict"] in out
    assert f"results: {tmp_path / 'out' / 'results.md'}" in out
    assert document["verdict"] in (tmp_path / "out" / "results.md").read_text("utf-8")

    # On a terminal, models are columns: a row per model is wider than any screen.
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    status, out, err = run_metseg(*words, "--device", "cpu", "--overwrite")
    assert status == 0, err
    rows = [line for line in out.splitlines() if line[:1] in "┃│"]
    assert max(map(len, rows)) <= 100
    assert rows[0].split() == ["┃", "model", "┃", "small", "┃", "wide", "┃"]
    assert any(line.startswith("│ Dice") for line in rows)
