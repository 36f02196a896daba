"""What stands in the tables of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from metseg.recipe import Recipe
from metseg.train.run import Run, train_run


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
