"""What stands in the tables of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from metseg.recipe import Recipe
from metseg.training.loop.logs import CsvLog
from metseg.training.run import Run, train_run


def test_an_epoch_without_validation_has_no_figures_of_one(
    tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], tiny_slices: Path, tiny_cache: Path
) -> None:
    recipe = make_tiny_recipe("train.max_steps=20", "train.validate_every=2")  # 5 epochs of 4 steps
    train_run(recipe, Run(tiny_slices, tmp_path / "run", cache=tiny_cache, device="cpu"))
    epochs = pd.read_csv(tmp_path / "run" / "epochs.csv")
    assert epochs["epoch"].tolist() == [0, 1, 2, 3, 4]
    for column in CsvLog.FIGURES:
        assert epochs[column].notna().tolist() == [False, True, False, True, True]  # the last is always looked at
    assert epochs["train_loss"].notna().all()


@pytest.mark.parametrize(
    "schedule", [("cosine",), ("one_cycle",), ("plateau", "train.plateau_patience=1")], ids=lambda schedule: schedule[0]
)
def test_an_epoch_has_the_learning_rate_of_its_last_step(
    schedule: tuple[str, ...],
    tmp_path: Path,
    make_tiny_recipe: Callable[..., Recipe],
    tiny_slices: Path,
    tiny_cache: Path,
) -> None:
    changes = (f'train.schedule="{schedule[0]}"', "train.max_steps=12", *schedule[1:])
    train_run(make_tiny_recipe(*changes), Run(tiny_slices, tmp_path / "run", cache=tiny_cache, device="cpu"))
    steps, epochs = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("steps", "epochs"))
    assert epochs["learning_rate"].tolist() == steps.groupby("epoch")["learning_rate"].last().tolist()
    assert epochs["train_loss"].tolist() == pytest.approx(steps.groupby("epoch")["loss"].mean().tolist())


def test_figures_of_training_and_validation_are_those_of_the_voxels(
    tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], tiny_slices: Path, tiny_cache: Path
) -> None:
    recipe = make_tiny_recipe("train.max_steps=60")
    train_run(recipe, Run(tiny_slices, tmp_path / "run", cache=tiny_cache, device="cpu"))
    epochs = pd.read_csv(tmp_path / "run" / "epochs.csv")
    for part in ("train", "val"):
        assert epochs[f"{part}_accuracy"].between(0, 1).all()
        assert (epochs[f"{part}_iou"] <= epochs[f"{part}_dice"]).all()
    # Pooled over the voxels of one class, the one follows from the other.
    dice = epochs["train_dice"]
    assert epochs["train_iou"].tolist() == pytest.approx((dice / (2 - dice)).tolist())
    assert epochs["train_accuracy"].iloc[-1] > epochs["train_accuracy"].iloc[0]


def test_a_log_of_metseg_0_1_goes_on_with_its_columns(tmp_path: Path) -> None:
    columns = ["epoch", "step", "train_loss", "val_loss", "val_dice", "learning_rate", "elapsed_s"]
    (tmp_path / "epochs.csv").write_text(",".join(columns) + "\n0,4,0.5,0.4,0.3,0.001,2.0\n", "utf-8")
    (tmp_path / "steps.csv").write_text(",".join(CsvLog.STEP_COLUMNS) + "\n", "utf-8")
    budget = SimpleNamespace(steps=8, elapsed_s=4.0)
    trainer = SimpleNamespace(
        current_epoch=1,
        callback_metrics={"train_loss_epoch": 0.4, "val_dice": 0.6, "train_dice": 0.7},
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.001}])],
    )
    log = CsvLog(tmp_path, budget)  # type: ignore[arg-type]
    for hook in (log.on_train_start, log.on_validation_end, log.on_train_epoch_end):
        hook(trainer, None)  # type: ignore[arg-type]
    table = pd.read_csv(tmp_path / "epochs.csv")
    assert list(table.columns) == columns
    assert table["val_dice"].tolist() == [0.3, 0.6]
