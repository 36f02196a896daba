"""A training that was killed goes on as if nothing had happened: the same losses, digit for digit, on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from metseg.recipe import Recipe
from metseg.training.run import Run, train_run

#: 5 epochs of 4 steps; everything random and everything with a memory is on.
CHANGES = (
    "model.dropout=0.3",
    "train.max_steps=20",
    "train.learning_rate=0.05",
    "train.ema_decay=0.9",
    "train.lesion_share=0.5",
    "train.workers=1",
    "train.schedule=plateau",
    "train.plateau_patience=1",
    "train.early_stopping=4",
    'augment=[{ name = "rotate" }, { name = "flip" }, { name = "gamma" }, { name = "noise", probability = 0.5 }]',
)

#: Children that kill themselves at a chosen moment as the kernel would: nothing of Python's clean-up runs. They are
#: forked from one process, which has imported everything and started no thread yet.
CHILDREN = """
import os, signal, sys
import metseg.training.loop.logs, metseg.training.loop.callbacks, metseg.training.loop.checkpoint, metseg.training.run
from metseg.training.loop import callbacks
from metseg.cli import main

MOMENTS = {
    "in the middle of an epoch": (metseg.training.loop.logs.CsvLog, "on_train_batch_end", 10),
    "in the first epoch": (metseg.training.loop.logs.CsvLog, "on_train_batch_end", 2),
    "after the best weights, before the checkpoint": (callbacks.BestWeights, "on_validation_end", 3),
    "at the border of two epochs": (metseg.training.loop.checkpoint.EpochCheckpoint, "on_train_epoch_end", 3),
    "between the last checkpoint and the bundle": (metseg.training.run, "fit", 1),
}

def kill_after(owner, name, times):
    original, calls = getattr(owner, name), []
    def wrapped(*arguments, **named):
        result = original(*arguments, **named)
        calls.append(1)
        if len(calls) == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapped)

if __name__ == "__main__":
    out = sys.argv.pop(1)
    for number, moment in enumerate(MOMENTS):
        child = os.fork()
        if child == 0:
            kill_after(*MOMENTS[moment])
            sys.argv += ["--out", f"{out}/{number}"]
            main()
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, moment
"""
MOMENTS = (
    "in the middle of an epoch",
    "in the first epoch",
    "after the best weights, before the checkpoint",
    "at the border of two epochs",
    "between the last checkpoint and the bundle",
)


@pytest.fixture(scope="module")
def command(
    tmp_path_factory: pytest.TempPathFactory,
    make_tiny_recipe: Callable[..., Recipe],
    tiny_slices: Path,
    tiny_cache: Path,
) -> list[str]:
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    recipe.write_text(make_tiny_recipe(*CHANGES).to_toml(), "utf-8")
    return ["train", str(recipe), "--data", str(tiny_slices), "--cache", str(tiny_cache)]


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory,
    make_tiny_recipe: Callable[..., Recipe],
    tiny_slices: Path,
    tiny_cache: Path,
) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    train_run(make_tiny_recipe(*CHANGES), Run(tiny_slices, out, cache=tiny_cache))
    return out


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, uninterrupted: Path, command: list[str]) -> dict[str, Path]:
    """Return the folders of runs that were killed, by moment; the cases are in the cache by then."""
    root = tmp_path_factory.mktemp("killed")
    script = root / "children.py"
    script.write_text(CHILDREN, "utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script), str(root), *command], check=True, env=environment, timeout=300)
    return {moment: root / str(number) for number, moment in enumerate(MOMENTS)}


def final(table: Path, key: str) -> pd.DataFrame:
    """Return the rows that count, as text, so that every digit does; time is another in every run."""
    rows = pd.read_csv(table, dtype=str).drop_duplicates(key, keep="last")
    return rows.drop(columns="elapsed_s").reset_index(drop=True)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_resumed_run_equals_an_uninterrupted_one(
    moment: str,
    killed: dict[str, Path],
    uninterrupted: Path,
    command: list[str],
    run_metseg: Callable[..., tuple[int, str, str]],
) -> None:
    run = killed[moment]
    rows_before = (run / "steps.csv").read_text()
    assert (run / "holder.json").exists()  # stale: its process is dead, so it holds nothing

    status, _, err = run_metseg(*command, "--out", run, "--resume")

    assert status == 0, err
    assert (run / "steps.csv").read_text().startswith(rows_before)  # appended to, not erased
    pd.testing.assert_frame_equal(final(run / "steps.csv", "step"), final(uninterrupted / "steps.csv", "step"))
    pd.testing.assert_frame_equal(final(run / "epochs.csv", "epoch"), final(uninterrupted / "epochs.csv", "epoch"))
    for name in ("best.safetensors", "bundle/model.safetensors"):
        ours, theirs = load_file(run / name), load_file(uninterrupted / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not [path.name for path in run.rglob(".*") if path.name != ".lock"]  # nothing half-written is left
    assert ("it starts again" in err) == (moment == "in the first epoch")


def test_the_run_has_what_makes_resuming_hard(uninterrupted: Path) -> None:
    steps, epochs = pd.read_csv(uninterrupted / "steps.csv"), pd.read_csv(uninterrupted / "epochs.csv")
    assert len(steps) == 20
    assert steps["learning_rate"].nunique() > 1, "the plateau has to lower the rate, or its state is not tested"
    assert epochs["val_dice"].nunique() > 1


def test_a_run_that_lacked_only_its_bundle_is_not_trained_again(
    killed: dict[str, Path], command: list[str], run_metseg: Callable[..., tuple[int, str, str]]
) -> None:
    run = killed["between the last checkpoint and the bundle"]
    run_metseg(*command, "--out", run, "--resume")
    assert len(pd.read_csv(run / "steps.csv")) == 20
    written = (run / "bundle" / "metrics.json").stat().st_mtime_ns
    status, out, _ = run_metseg(*command, "--out", run, "--resume")  # a finished run has nothing left to do
    assert status == 0
    assert f"bundle: {run / 'bundle'}\n" in out
    assert (run / "bundle" / "metrics.json").stat().st_mtime_ns == written
