"""What stands in the tables of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from metseg.recipe import Recipe
from metseg.training.run import Run, train_run


def test_an_epoch_without_validation_has_no_figures_of_one(
    tmp_path: Path, make_tiny_recipe: Callable[..., Recipe], tiny_slices: Path, tiny_cache: Path
) -> None:
    recipe = make_tiny_recipe("train.max_steps=20", "train.validate_every=2")  # 5 epochs of 4 steps
    train_run(recipe, Run(tiny_slices, tmp_path / "run", cache=tiny_cache, device="cpu"))
    epochs = pd.read_csv(tmp_path / "run" / "epochs.csv")
    assert epochs["epoch"].tolist() == [0, 1, 2, 3, 4]
    for column in ("val_loss", "val_dice"):
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
