"""``metseg tune``: the space is checked first, test patients stay unread, killed trials are repeated."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metseg.errors import InputError, UsageError
from metseg.experiment.tuning.search_space import Choices, Range, load_space, parse_space
from metseg.io.splits import Split
from metseg.recipe import Recipe, load_recipe

optuna = pytest.importorskip("optuna")
MakeRecipe = Callable[..., Recipe]

SPACE = """
train.learning_rate = { low = 1e-3, high = 3e-2, log = true }
train.batch_size = { low = 2, high = 4 }
"model.channels" = { choices = [[4, 8], [2, 4]] }
"""


def test_a_space_may_be_written_as_tables_or_dotted_keys() -> None:
    dotted = parse_space("train.learning_rate = { low = 1e-4, high = 1e-2, log = true }", where="x")
    table = parse_space("[train.learning_rate]\nlow = 1e-4\nhigh = 1e-2\nlog = true", where="x")
    quoted = parse_space('"train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }', where="x")
    assert dotted == table == quoted == {"train.learning_rate": Range(1e-4, 1e-2, log=True)}
    assert parse_space("model.name = { choices = ['unet', 'cnn'] }", where="x") == {
        "model.name": Choices(("unet", "cnn"))
    }


@pytest.mark.parametrize(("text", "message"), [
    ("train.learning_rat = { low = 1e-4, high = 1e-2 }", "did you mean train.learning_rate"),
    ("trian.learning_rate = { low = 1e-4, high = 1e-2 }", "did you mean train"),
    ("model.chanels = { choices = [[4, 8]] }", "did you mean model.channels"),
    ("train.learning_rate = { low = -1.0, high = 1e-2 }", "greater than 0"),
    ("train.optimizer = { choices = ['adam', 'sdg'] }\ntrain.seed = { low = 0, high = 9 }", "Did you mean 'sgd'"),
    ("train.momentum = { low = 0.1, high = 0.5 }", "momentum has no effect"),
    ("train.learning_rate = { lo = 1e-4, high = 1e-2 }", "did you mean low"),
    ("train.learning_rate = { low = 1e-2, high = 1e-4 }", "low below high"),
    ("train.learning_rate = { low = 0.0, high = 1e-4, log = true }", "begins above 0"),
    ("train.learning_rate = 1e-3", "neither a range nor choices"),
    ("split.test = { low = 0.1, high = 0.2 }", "same validation patients"),
    ("predict.threshold = { low = 0.1, high = 0.9 }", "no effect"),
    ("", "empty"),
])  # fmt: skip
def test_a_wrong_space_is_refused_before_anything_starts(
    make_tiny_recipe: MakeRecipe, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_space(file, make_tiny_recipe())


def test_a_key_may_need_another_key_of_the_space(make_tiny_recipe: MakeRecipe, tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text("train.momentum = { low = 0.1, high = 0.5 }\ntrain.optimizer = { choices = ['adam', 'sgd'] }")
    assert list(load_space(file, make_tiny_recipe())) == ["train.momentum", "train.optimizer"]


@pytest.fixture
def without_test_images(tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe) -> tuple[Path, list[str]]:
    """Return a copy of the data set in which the files of the test patients cannot be read, and these patients."""
    from metseg.training.data import choose_split, read_sources

    root = tmp_path / "data"
    for file in sorted(tiny_slices.rglob("*.png")):
        copy = root / file.relative_to(tiny_slices)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    recipe = make_tiny_recipe()
    split = choose_split(recipe, read_sources(recipe, root), None)
    for patient in split.test:
        for file in (root / patient).iterdir():
            file.write_bytes(b"no picture")
    return root, list(split.test)


def run_tuning(root: Path, out: Path, recipe: Recipe, **options: object) -> object:
    from metseg.experiment.tuning.tuner import Tuning, tune

    space = parse_space(SPACE, where="test")
    return tune(Tuning(recipe, space, root, out, **{"minutes": 5.0, "trials": 2, "device": "cpu", **options}))


def test_test_patients_are_never_read_and_the_best_recipe_trains(
    without_test_images: tuple[Path, list[str]], tmp_path: Path, make_tiny_recipe: MakeRecipe
) -> None:
    root, test = without_test_images
    assert len(test) == 3
    result = run_tuning(root, tmp_path / "out", make_tiny_recipe())
    assert result.states == {"complete": 2}
    best = load_recipe(tmp_path / "out" / "best.toml")
    assert best.name == "tiny-tuned"
    assert best.train.learning_rate == pytest.approx(result.best_values["train.learning_rate"])
    assert list(best.model.options["channels"]) == result.best_values["model.channels"]
    assert sorted(Split.load(tmp_path / "out" / "split.json").test) == sorted(test)  # for metseg train
    # The same split would be read by a training, which then finds the files.
    from metseg.training.run import Run, train_run

    with pytest.raises(InputError):
        train_run(best, Run(root, tmp_path / "run", split_file=tmp_path / "out" / "split.json", device="cpu"))


def test_a_search_is_continued_with_the_same_recipe_and_space_only(
    tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no search to resume"):
        run_tuning(tiny_slices, out, make_tiny_recipe(), resume=True)
    run_tuning(tiny_slices, out, make_tiny_recipe(), trials=1)
    with pytest.raises(UsageError, match="already holds a search"):
        run_tuning(tiny_slices, out, make_tiny_recipe())
    with pytest.raises(UsageError, match="another recipe or another space"):
        run_tuning(tiny_slices, out, make_tiny_recipe("train.seed=1"), resume=True)
    assert run_tuning(tiny_slices, out, make_tiny_recipe(), resume=True).states == {"complete": 2}


def test_trials_that_cannot_train_fail_and_three_in_a_row_end_the_search(
    tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe
) -> None:
    # Each value is accepted alone; together they are refused: momentum without sgd.
    from metseg.experiment.tuning.tuner import Tuning, tune

    space = parse_space("train.momentum = { low = 0.1, high = 0.5 }\ntrain.seed = { low = 0, high = 9 }", where="test")
    with pytest.raises(UsageError, match=r"train\.momentum has no effect"):
        tune(Tuning(make_tiny_recipe(), space, tiny_slices, tmp_path / "out", 5.0, device="cpu"))
    rows = list(csv.DictReader((tmp_path / "out" / "trials.csv").open()))
    assert [row["state"] for row in rows] == ["fail"] * 3
    assert all("momentum" in row["error"] for row in rows)


KILLED = """
import sys
from pathlib import Path
from metseg.experiment.tuning.search_space import parse_space
from metseg.experiment.tuning.tuner import Tuning, tune
from metseg.recipe import load_recipe
recipe, root, out = map(Path, sys.argv[1:4])
space = parse_space(SPACE, where="test")
tune(Tuning(load_recipe(recipe), space, root, out, 5.0, trials=10, resume="resume" in sys.argv, device="cpu"))
""".replace("SPACE", repr(SPACE))


def test_ten_trials_killed_and_resumed(tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe) -> None:
    out, recipe = tmp_path / "out", tmp_path / "tiny.toml"
    recipe.write_text(make_tiny_recipe("train.max_steps=12").to_toml())
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, recipe, tiny_slices, out],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    # In the middle of the third trial: its folder has a log of steps, and it is not in the table of trials.
    while not (out / "trials" / "0002" / "recipe.toml").exists() and time.monotonic() < until:
        assert process.poll() is None, "the search ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    study = optuna.load_study(study_name="metseg", storage=f"sqlite:///{out / 'study.db'}")
    assert study.trials[2].state == optuna.trial.TrialState.RUNNING

    result = run_tuning(tiny_slices, out, load_recipe(recipe), trials=10, resume=True)
    rows = list(csv.DictReader((out / "trials.csv").open()))
    ended = [row for row in rows if row["state"] in ("complete", "pruned")]
    assert len(ended) == 10
    assert rows[2]["state"] == "fail"
    repeated = next(row for row in rows if row["retry_of"] == "2")
    keys = ("train.learning_rate", "train.batch_size", "model.channels")
    assert {key: repeated[key] for key in keys} == {key: rows[2][key] for key in keys}
    # A resumed search draws new values.
    assert len({row["train.learning_rate"] for row in ended}) == 10
    best = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["validation_dice"]))
    assert result.best_number == int(best["trial"])
    assert (out / "importance.png").stat().st_size > 5000
    assert not list((out / "trials").rglob("*.safetensors"))


def test_trials_in_a_journal_file(tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe) -> None:
    storage = f"journal:{tmp_path / 'shared' / 'trials.log'}"
    run_tuning(tiny_slices, tmp_path / "one", make_tiny_recipe(), trials=1, storage=storage)
    result = run_tuning(tiny_slices, tmp_path / "two", make_tiny_recipe(), trials=2, storage=storage)
    assert result.states == {"complete": 2}
    assert not (tmp_path / "one" / "study.db").exists()
    with pytest.raises(UsageError, match="another recipe, space or split"):
        run_tuning(tiny_slices, tmp_path / "three", make_tiny_recipe("train.seed=1"), storage=storage)


def test_a_storage_that_cannot_be_opened_is_named_without_its_password(
    tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe
) -> None:
    with pytest.raises(UsageError, match="storage of the trials") as caught:
        run_tuning(tiny_slices, tmp_path, make_tiny_recipe(), storage="nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "host/db" in str(caught.value)
    assert not (tmp_path / "recipe.toml").exists()  # the next call starts a search and needs no --resume


def test_poor_trials_are_pruned(
    tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metseg.experiment.tuning import study_storage

    monkeypatch.setitem(study_storage.PRUNERS, "median", ("ThresholdPruner", {"lower": 2.0}))
    with pytest.raises(UsageError, match="no trial was completed"):
        run_tuning(tiny_slices, tmp_path, make_tiny_recipe("train.max_steps=12"), trials=1)
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [(row["state"], row["last_tenth"]) for row in rows] == [("pruned", "3")]


def test_the_command_refuses_a_typo_and_tells_the_next_command(
    run_metseg: Callable[..., tuple[int, str, str]], tiny_slices: Path, tmp_path: Path, make_tiny_recipe: MakeRecipe
) -> None:
    recipe, space, out = tmp_path / "tiny.toml", tmp_path / "space.toml", tmp_path / "out"
    recipe.write_text(make_tiny_recipe().to_toml())
    space.write_text("train.learning_rat = { low = 1e-3, high = 1e-2 }")
    words = ["tune", recipe, "--data", tiny_slices, "--space", space, "--minutes", 5, "--trials", 1, "--out", out]
    status, _, err = run_metseg(*words)
    assert status == 2
    assert "did you mean train.learning_rate" in err
    assert not out.exists()
    space.write_text("train.learning_rate = { low = 1e-3, high = 1e-2 }")
    status, printed, err = run_metseg(*words, "--device", "cpu")
    assert status == 0, err
    assert printed.splitlines()[0] == "1 trial: 1 complete"
    assert f"metseg train {out / 'best.toml'} --data {tiny_slices} --split {out / 'split.json'}" in printed
